import { expect, test } from "bun:test";
import { applyChanges } from "./changes.ts";

test("each instruction", () => {
  const made = applyChanges({ Env: ["A=0"] }, [
    'CMD ["a","b c"]',
    "entrypoint run it",
    'ENV A=1 B="two words" C=x\\ y',
    "ENV OLD the rest",
    "LABEL k=v l='1 2'",
    "WORKDIR /srv",
    "USER 1:2",
    "EXPOSE 80 53/udp",
    'VOLUME ["/data","/x y"]',
    "VOLUME /one /two",
    "STOPSIGNAL SIGINT",
  ]);
  expect(made).toEqual({
    Cmd: ["a", "b c"],
    Entrypoint: ["/bin/sh", "-c", "run it"],
    Env: ["A=1", "B=two words", "C=x y", "OLD=the rest"],
    Labels: { k: "v", l: "1 2" },
    WorkingDir: "/srv",
    User: "1:2",
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    Volumes: { "/data": {}, "/x y": {}, "/one": {}, "/two": {} },
    StopSignal: "SIGINT",
  });
});

test.each([
  "RUN x",
  "CMD",
  "",
  "EXPOSE 0",
  "EXPOSE 70000",
  "EXPOSE x",
  "WORKDIR rel",
  "ENV X",
  'ENV A="x',
  "ENV =x",
])("%j is refused", (change) => expect(() => applyChanges({}, [change])).toThrow("change"));
