import { describe, expect, test } from "bun:test";
import { bool, list, UsageError, value } from "./command.ts";
import { checkCount, parse } from "./parse.ts";

const flags = {
  interactive: bool("", { short: "i" }),
  tty: bool("", { short: "t" }),
  publish: list("PORT", "", { short: "p" }),
  name: value("NAME", "", { short: "n" }),
  "sig-proxy": bool(""),
};
const spec = { flags, later: { privileged: "", mount: "use -v" } };
const inside = { ...spec, stopAtPositional: true };

describe("the flag parser", () => {
  const cases: [title: string, argv: string[], flags: object, args: string[]][] = [
    ["short flags in one word", ["-it", "x"], { interactive: true, tty: true }, ["x"]],
    ["a short flag with its value beside it", ["-p80:80"], { publish: ["80:80"] }, []],
    ["a short flag with its value after it", ["-p", "80", "-p=81"], { publish: ["80", "81"] }, []],
    ["a cluster that ends with a value", ["-itn", "x"], { interactive: true, tty: true, name: "x" }, []],
    ["--flag=value", ["--name=a=b"], { name: "a=b" }, []],
    ["--flag value, the last one counts", ["--name", "a", "--name", "b"], { name: "b" }, []],
    ["a value that looks like a flag", ["--name", "--tty"], { name: "--tty" }, []],
    ["an empty value", ["--name="], { name: "" }, []],
    ["a flag turned off", ["--sig-proxy=false", "-t=false"], { "sig-proxy": false, tty: false }, []],
    ["flags after arguments", ["x", "-t"], { tty: true }, ["x"]],
    ["-- ends the flags", ["-t", "--", "-i", "--"], { tty: true }, ["-i", "--"]],
    ["a lone dash is an argument", ["-"], {}, ["-"]],
  ];
  test.each(cases)("%s", (_title, argv, wanted, args) => {
    const parsed = parse(spec, argv);
    expect(parsed.args).toEqual(args);
    expect(parsed.flags).toEqual({ publish: [], ...wanted });
    expect(parsed.help).toBe(false);
  });

  test("stops at the first argument where the rest belongs to a command inside", () => {
    const parsed = parse(inside, ["-t", "image", "ls", "-i", "--", "--unknown"]);
    expect(parsed.args).toEqual(["image", "ls", "-i", "--", "--unknown"]);
    expect(parsed.flags.interactive).toBeUndefined();
  });

  const failures: [argv: string[], message: string][] = [
    [["--nmae", "x"], "unknown flag --nmae; did you mean --name?"],
    [["--zzzzzz"], "unknown flag --zzzzzz"],
    [["--constructor"], "unknown flag --constructor"],
    [["-x"], "unknown flag -x"],
    [["-ix"], "unknown flag -x"],
    [["--name"], "--name needs a value"],
    [["-itp"], "-p needs a value"],
    [["--tty=maybe"], '--tty is true or false, not "maybe"'],
    [["--privileged"], "--privileged is not supported yet"],
    [["--mount=type=bind"], "--mount is not supported yet: use -v"],
  ];
  test.each(failures)("%j is refused", (argv, message) => {
    expect(() => parse(spec, argv)).toThrow(new UsageError(message));
  });

  test("--help and -h ask for help", () => {
    expect(parse(spec, ["--help"]).help).toBe(true);
    expect(parse(spec, ["-h"]).help).toBe(true);
  });

  test("counts arguments", () => {
    expect(() => checkCount("ps", { args: [0, 0] }, 1)).toThrow('"gantry ps" takes no arguments, not 1');
    expect(() => checkCount("rm", { args: [1, 9] }, 0)).toThrow(
      '"gantry rm" needs at least 1 argument, not 0',
    );
    expect(() => checkCount("tag", { args: [2, 2] }, 1)).toThrow(
      '"gantry tag" takes exactly 2 arguments, not 1',
    );
    expect(() => checkCount("cp", { args: [1, 2] }, 2)).not.toThrow();
  });
});
