import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { Api, Box, type GantryError } from "../../client/index.ts";
import { encodeFrame, FrameType } from "../../lib/frame.ts";
import { asEngine, FakeEngine } from "./fake-engine.ts";
import { createServer } from "./server.ts";
import { routes } from "./table.ts";

const folder = mkdtempSync(join(tmpdir(), "gantry-api-"));
const socket = join(folder, "gantry.sock");
const fake = new FakeEngine();
const server = createServer({ engine: asEngine(fake), paths: { socket } });
const api = new Api({ socket, project: "default" });

beforeAll(() => server.listen());
afterAll(async () => {
  api.close();
  await server.close();
  rmSync(folder, { recursive: true });
});

/** Sends bytes as they are and collects the answer until the server closes or `until` shows up. */
function raw(request: string | Buffer, until?: string, timeout = 3000): Promise<string> {
  return new Promise((resolve, reject) => {
    const client = connect(socket);
    let answer = "";
    const timer = setTimeout(() => {
      client.destroy();
      reject(new Error(`no answer in ${timeout} ms, but ${JSON.stringify(answer)}`));
    }, timeout);
    const finish = () => {
      clearTimeout(timer);
      client.destroy();
      resolve(answer);
    };
    client.on("data", (piece) => {
      answer += piece.toString("latin1");
      if (until !== undefined && answer.includes(until)) finish();
    });
    client.on("end", finish);
    client.on("error", finish);
    client.write(request);
  });
}

const send = (method: string, target: string, body = "", headers = ""): Promise<string> =>
  raw(
    `${method} ${target} HTTP/1.1\r\nHost: g\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`,
  );

const error = async (promise: Promise<unknown>): Promise<GantryError> => {
  try {
    await promise;
  } catch (thrown) {
    return thrown as GantryError;
  }
  throw new Error("it did not fail");
};

describe("requests are checked", () => {
  test.each([
    ["an unknown path", "GET", "/v1/nope", "", 404, "not in the API"],
    ["a wrong method", "DELETE", "/v1/instances", "", 400, "takes GET, POST"],
    ["an unknown query field", "GET", "/v1/instances?alll=1", "", 400, 'unknown field \\"alll\\"'],
    ["a query field of a wrong type", "GET", "/v1/instances?all=maybe", "", 400, '\\"all\\" must be boolean'],
    ["a query field given twice", "GET", "/v1/instances?all=1&all=0", "", 400, "more than once"],
    ["filters that are no JSON", "GET", "/v1/instances?filters=x", "", 400, "is not JSON"],
    ["filters of a wrong shape", "GET", "/v1/instances?filters=%7B%22a%22:1%7D", "", 400, '\\"a\\"'],
    ["malformed JSON", "POST", "/v1/instances", "{", 400, "the body is not JSON"],
    ["a missing field", "POST", "/v1/instances", '{"config":{}}', 400, '\\"config.image\\"'],
    [
      "an unknown field",
      "POST",
      "/v1/instances",
      '{"config":{"image":"x","privileged":true}}',
      400,
      '\\"config.privileged\\"',
    ],
    [
      "a wrong type",
      "POST",
      "/v1/instances",
      '{"config":{"image":1}}',
      400,
      '\\"config.image\\" must be string',
    ],
    [
      "an unknown wall",
      "POST",
      "/v1/instances",
      '{"config":{"image":"x","isolation":"jail"}}',
      400,
      '\\"container\\", \\"vm\\"',
    ],
    [
      "a broken mount",
      "POST",
      "/v1/instances",
      '{"config":{"image":"x","mounts":[{"type":"tmpfs","target":1,"options":[]}]}}',
      400,
      '\\"config.mounts.0.target\\" must be string',
    ],
    ["a body where none belongs", "POST", "/v1/instances/x/start", '{"a":1}', 400, "takes no body"],
    ["a bad project", "GET", "/v1/instances?project=a/b", "", 400, "project name"],
    ["an upgrade that was not asked for", "GET", "/v1/execs/x/start", "", 400, "Upgrade: gantry-frames"],
    ["a broken percent sign", "GET", "/v1/instances/%zz", "", 404, "not in the API"],
    ["an engine's error", "GET", "/v1/instances/absent", "", 404, "there is no instance"],
  ] as [string, string, string, string, number, string][])(
    "%s",
    async (_title, method, target, body, status, part) => {
      const answer = await send(method, target, body);
      expect(answer).toStartWith(`HTTP/1.1 ${status} `);
      expect(answer).toContain(part);
      const json = JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)) as {
        error: { code: string; message: string };
      };
      expect(json.error.code).toBeString();
      expect(json.error.message).not.toContain("\n");
    },
  );

  test("what is left out gets a default", async () => {
    const view = await api.create({ image: "x", limits: { memory: 64 << 20 } }, "defaults");
    expect(view.config).toMatchObject({
      isolation: "container",
      network: "nat",
      mounts: [],
      limits: { memory: 64 << 20 },
    });
    await api.remove("defaults");
  });

  test("the project comes from the query or the header", async () => {
    await new Api({ socket, project: "one" }).list();
    expect(fake.calls.at(-1)).toEqual(["list", "one", { all: false, filters: {} }]);
    await send("GET", "/v1/instances?project=two&all");
    expect(fake.calls.at(-1)).toEqual(["list", "two", { all: true, filters: {} }]);
  });

  test("names may hold anything", async () => {
    expect((await error(api.inspect("a/b c?#%"))).message).toContain('"a/b c?#%"');
  });
});

describe("limits", () => {
  test("a body over 1 MiB is refused, told or found", async () => {
    const told = await raw(
      "POST /v1/instances HTTP/1.1\r\nHost: g\r\nContent-Length: 99999999\r\n\r\n{",
      "}}",
    );
    expect(told).toContain("larger than 1048576 bytes");
    const piece = `10000\r\n${" ".repeat(0x10000)}\r\n`;
    const found = await raw(
      `POST /v1/instances HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n${piece.repeat(20)}0\r\n\r\n`,
      "}}",
    );
    expect(found).toContain("larger than 1048576 bytes");
  });
  test("a head that is too large or none is refused", async () => {
    expect(await raw(`GET /v1/ping HTTP/1.1\r\nHost: g\r\nX: ${"x".repeat(1 << 20)}\r\n\r\n`)).toMatch(
      /^(HTTP\/1.1 4\d\d|$)/,
    );
    expect(await raw("nonsense\r\n\r\n")).toMatch(/^(HTTP\/1.1 400|$)/);
  });
  test("the socket is its owner's alone", () => {
    expect(statSync(socket).mode & 0o777).toBe(0o600);
  });
  test("a second server does not take the socket", async () => {
    const second = createServer({ engine: asEngine(fake), paths: { socket } });
    expect((await error(second.listen())).code).toBe("conflict");
    expect(await api.ping()).toEqual({ ok: true, pid: process.pid });
  });
});

describe("streams", () => {
  test("lines come one by one; a failure midway is an error", async () => {
    const actions: string[] = [];
    const failed = await error(
      (async () => {
        for await (const event of api.events()) actions.push(event.action);
      })(),
    );
    expect(actions).toEqual(["start"]);
    expect(failed).toMatchObject({ code: "unavailable", message: "the source broke" });
  });

  test("log bytes arrive as they are; leaving ends the source", async () => {
    await api.create({ image: "x" }, "logs");
    const lines: Buffer[] = [];
    for await (const { data } of api.logs("logs", { follow: true })) {
      lines.push(data);
      if (lines.length === 2) break;
    }
    expect(lines).toEqual([Buffer.from("good\n"), Buffer.from([0xff, 0x0a])]);
    const before = Date.now();
    while (fake.calls.at(-1)?.[0] !== "logs aborted" && Date.now() - before < 2000)
      await new Promise((resolve) => setTimeout(resolve, 10));
    expect(fake.calls.at(-1)).toEqual(["logs aborted"]);
  });

  test("an upload waits for its taker", async () => {
    await api.create({ image: "x" }, "up");
    let sent = 0;
    let most = 0;
    async function* source() {
      for (let i = 0; i < 64; i++) {
        const piece = Buffer.alloc(256 << 10);
        sent += piece.length;
        most = Math.max(most, sent - fake.received);
        yield piece;
      }
    }
    fake.received = 0;
    await api.writeArchive("up", "/slow", source());
    expect(fake.received).toBe(16 << 20);
    expect(most).toBeLessThan(6 << 20);
  });

  test("an upload that is refused early tells why", async () => {
    async function* endless() {
      for (let i = 0; i < 4096; i++) yield Buffer.alloc(64 << 10);
    }
    expect(await error(api.writeArchive("up", "/refused", endless()))).toMatchObject({
      code: "denied",
      message: "no",
    });
  });

  test("a download waits for its reader, and ends when the reader leaves", async () => {
    let made = 0;
    let closed = false;
    fake.archive = (async function* () {
      try {
        for (;;) {
          made += 64 << 10;
          yield Buffer.alloc(64 << 10);
          if (made > 1 << 30) return;
        }
      } finally {
        closed = true;
      }
    })();
    const { stat, tar } = await api.readArchive("up", "/x");
    expect(stat.name).toBe("x");
    let read = 0;
    for await (const piece of tar) {
      read += piece.length;
      if (read > 1 << 20) {
        await new Promise((resolve) => setTimeout(resolve, 300));
        expect(made - read).toBeLessThan(8 << 20);
        break;
      }
    }
    const before = Date.now();
    while (!closed && Date.now() - before < 2000) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(closed).toBe(true);
  });

  test("a download whose source fails is cut, never ended", async () => {
    fake.archive = (async function* () {
      yield Buffer.alloc(1000);
      throw new Error("disk");
    })();
    const { tar } = await api.readArchive("up", "/x");
    expect(
      await error(
        (async () => {
          for await (const _ of tar);
        })(),
      ),
    ).toBeInstanceOf(Error);
  });
});

describe("sessions", () => {
  test("exec gives output, exit code and input byte for byte", async () => {
    const box = new Box(api, await api.create({ image: "x" }, "box"));
    const input = Buffer.alloc(3 << 20, Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
    const echo = await box.exec(["cat"], { input });
    expect(echo.exitCode).toBe(0);
    expect(echo.stdoutBytes.equals(input)).toBe(true);
    expect(await box.exec(["sh", "-c", "echo out; echo err >&2; exit 3"])).toMatchObject({
      exitCode: 3,
      stdout: "out\n",
      stderr: "err\n",
    });
    const absent = await error(box.exec(["absent"]));
    expect(absent).toMatchObject({ code: "not_found", exitStatus: 127 });
  });

  test("a process as streams", async () => {
    const box = await new Box(api, await api.inspect("box"));
    const process = await box.spawn(["cat"], { stdin: true });
    const output = process.stdout.pipe(new PassThrough());
    await process.write("one\n");
    await process.write("two\n");
    process.endInput();
    let text = "";
    for await (const piece of output) text += piece;
    expect(text).toBe("one\ntwo\n");
    expect(await process.exit).toMatchObject({ exitCode: 0 });
  });

  test("a slow reader stops the process, not the memory", async () => {
    const exec = await api.createExec("box", ["sh", "-c", "head -c 33554432 /dev/zero"]);
    let seen = 0;
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const session = await api.startExec(exec.id, {
      write: (data) => {
        seen += data.length;
        return false;
      },
      ready: () => gate,
    });
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(seen).toBeLessThan(8 << 20);
    release();
    expect(await session.ended).toMatchObject({ kind: "exit", exitCode: 0 });
    expect(seen).toBe(32 << 20);
  });

  test("half-closed clients still get the rest", async () => {
    const exec = await api.createExec("box", ["sh", "-c", "cat; echo bye"], { openStdin: true });
    const answer = await new Promise<Buffer>((resolve) => {
      const client = connect({ path: socket, allowHalfOpen: true });
      const parts: Buffer[] = [];
      client.on("data", (piece: Buffer) => parts.push(piece));
      client.on("end", () => resolve(Buffer.concat(parts)));
      client.write(
        `GET /v1/execs/${exec.id}/start HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: gantry-frames\r\n\r\n`,
      );
      client.write(encodeFrame(FrameType.stdin, Buffer.from("early\n")));
      client.end(encodeFrame(FrameType.stdinEnd));
    });
    const text = answer.toString("latin1");
    expect(text).toStartWith("HTTP/1.1 101 ");
    expect(text).toContain("early\n");
    expect(text).toContain("bye\n");
  });

  test("what cannot be upgraded says why", async () => {
    const head = "Host: g\r\nConnection: Upgrade\r\n";
    const ask = (line: string, more: string) => raw(`${line} HTTP/1.1\r\n${head}${more}\r\n`);
    expect(await ask("GET /v1/execs/none/start", "Upgrade: gantry-frames\r\n")).toContain("there is no exec");
    expect(await ask("GET /v1/execs/none/start", "Upgrade: websocket\r\n")).toContain("only protocol");
    expect(await ask("GET /v1/ping", "Upgrade: gantry-frames\r\n")).toContain("does not upgrade");
    expect(await ask("GET /v1/nope", "Upgrade: gantry-frames\r\n")).toContain("HTTP/1.1 404");
  });

  test("a broken frame ends the session", async () => {
    const exec = await api.createExec("box", ["cat"], { openStdin: true });
    const answer = await raw(
      Buffer.concat([
        Buffer.from(
          `GET /v1/execs/${exec.id}/start HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: gantry-frames\r\n\r\n`,
        ),
        Buffer.alloc(64, 0xff),
      ]),
    );
    expect(answer).toStartWith("HTTP/1.1 101 ");
    expect(await api.ping()).toEqual({ ok: true, pid: process.pid });
  });
});

test("the OpenAPI document has every route, and its references resolve", async () => {
  const answer = await send("GET", "/v1/openapi.json");
  const document = JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)) as {
    openapi: string;
    paths: Record<string, Record<string, { operationId: string }>>;
    components: { schemas: Record<string, object> };
  };
  expect(document.openapi).toBe("3.1.0");
  const ids = new Set<string>();
  for (const route of routes) {
    const operation = document.paths[route.path]?.[route.method.toLowerCase()];
    expect(operation).toBeDefined();
    ids.add(operation!.operationId);
  }
  expect(ids.size).toBe(routes.length);
  for (const [, name] of answer.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g))
    expect(document.components.schemas[name!]).toBeDefined();
  expect(answer).toContain('"$ref":"#/components/schemas/Instance"');
});
