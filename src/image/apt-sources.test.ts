import { expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { defaultMirrors, hostMirrors, sourcesFor } from "./apt-sources.ts";
import { temporary } from "./testing.ts";

const write = (path: string, files: Record<string, string>) => {
  mkdirSync(join(path, "sources.list.d"));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
};

test("deb822 sources; third parties and disabled ones are left out", async () => {
  using folder = temporary();
  write(folder.path, {
    "sources.list.d/a.sources":
      "Types: deb\nURIs: https://apt.example.com/linux/debian\nSuites: bookworm\nComponents: stable\n\nEnabled: no\nTypes: deb\nURIs: http://off\nSuites: bookworm\nComponents: main\n",
    "sources.list.d/debian.sources":
      "Types: deb deb-src\nURIs: http://mirror.corp:8080/debian/\nSuites: bookworm\n bookworm-updates\nComponents: main contrib\nSigned-By: /usr/share/keyrings/x.gpg\n\n# comment\nTypes: deb\nURIs: http://mirror.corp/sec\nSuites: bookworm-security\nComponents: main\n",
  });
  expect(await hostMirrors("bookworm", folder.path)).toEqual({
    main: "http://mirror.corp:8080/debian",
    security: "http://mirror.corp/sec",
    signedBy: "/usr/share/keyrings/x.gpg",
  });
});

test("one-line sources", async () => {
  using folder = temporary();
  write(folder.path, {
    "sources.list":
      "# deb http://old bookworm main\ndeb-src http://src bookworm main\ndeb [arch=amd64 signed-by=/k.gpg] http://m/debian bookworm main # x\n",
    "sources.list.d/x.list.save": "deb http://saved bookworm main\n",
  });
  expect(await hostMirrors("bookworm", folder.path)).toEqual({
    main: "http://m/debian",
    security: defaultMirrors.security,
    signedBy: "/k.gpg",
  });
  expect(await hostMirrors("trixie", folder.path)).toBeUndefined();
});

test("sources of a suite", () => {
  expect(sourcesFor("sid", defaultMirrors)).not.toContain("security");
  expect(sourcesFor("trixie", defaultMirrors)).toContain("Suites: trixie-security");
});
