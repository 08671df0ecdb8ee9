import { createSocket } from "node:dgram";
import { connect, createServer } from "node:net";

/** A small client and server, to be run inside network namespaces. */
const [verb, protocol, address, port, last] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
];

const done = (text: string) => {
  console.log(text);
  process.exit(0);
};

if (verb === "serve") {
  const ready = () => console.log("ready");
  if (protocol === "tcp") {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (data) => {
        // "hold" keeps the connection and echoes, all else is answered once.
        if (data.toString().startsWith("ask"))
          socket.end(`${last} ${socket.remoteAddress?.replace("::ffff:", "")}\n`);
        else socket.write(data);
      });
    });
    server.listen({ host: address, port: Number(port) }, ready);
  } else {
    const socket = createSocket("udp4");
    socket.on("message", (_data, from) => socket.send(`${last} ${from.address}\n`, from.port, from.address));
    socket.bind(Number(port), address, ready);
  }
} else if (verb === "hold") {
  // One TCP connection that asks for an echo every 200 ms, and says when each came.
  const socket = connect({ host: address, port: Number(port) }, () =>
    setInterval(() => socket.write("echo"), 200),
  );
  socket.on("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
  socket.on("close", () => done("closed"));
  socket.on("data", () => console.log(Date.now()));
} else if (verb === "hold-udp") {
  // Asks every 100 ms from one and the same port; prints each answer.
  const socket = createSocket("udp4");
  socket.on("message", (data) => console.log(data.toString().trim()));
  socket.on("error", () => {});
  socket.bind(4444, () => setInterval(() => socket.send("ask", Number(port), address), 100));
} else if (verb === "dns") {
  // `last` is name/type; prints {rcode, answers}.
  const [name, type] = last.split("/") as [string, string];
  setTimeout(() => done("timeout"), 8000);
  const labels = name.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const query = Buffer.concat([
    Buffer.from([0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...labels,
    Buffer.from([0, 0, Number(type), 0, 1]),
  ]);
  const show = (reply: Buffer) => {
    const answers: string[] = [];
    let at = query.length;
    for (let n = reply.readUInt16BE(6); n > 0; n--) {
      const kind = reply.readUInt16BE(at + 2);
      const data = reply.subarray(at + 12, at + 12 + reply.readUInt16BE(at + 10));
      answers.push(
        kind === 1
          ? [...data].join(".")
          : data
              .subarray(1, -1)
              .toString("latin1")
              .replace(/[^!-~]/g, "."),
      );
      at += 12 + data.length;
    }
    const id = reply.readUInt16BE(0) === 0x1234;
    done(JSON.stringify({ id, rcode: reply[3]! & 15, answers }));
  };
  if (protocol === "udp") {
    const socket = createSocket("udp4");
    socket.on("message", show);
    socket.send(query, Number(port), address);
  } else {
    const socket = connect({ host: address, port: Number(port) }, () =>
      socket.write(Buffer.concat([Buffer.from([0, query.length]), query])),
    );
    socket.on("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.on("data", (data: Buffer) => show(data.subarray(2)));
  }
} else if (verb === "flood") {
  // Questions for a name that nobody has, as fast as they go, for `last` milliseconds.
  const socket = createSocket("udp4");
  const query = Buffer.from("123401000001000000000000" + "05666c6f6f6403636f6d00" + "00010001", "hex");
  const until = Date.now() + Number(last);
  let sent = 0;
  const more = () => {
    for (let n = 0; n < 50; n++) socket.send(query, Number(port), address);
    sent += 50;
    if (Date.now() < until) setImmediate(more);
    else done(String(sent));
  };
  more();
} else if (verb === "serve-dns") {
  // A resolver of the outside: answers every A question with `last`, over UDP and TCP; with "silent", never.
  const answer = (query: Buffer) => {
    const reply = Buffer.concat([
      query,
      Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, ...last.split(".").map(Number)]),
    ]);
    reply[2] = 0x81;
    reply[3] = 0x80;
    reply.writeUInt16BE(1, 6);
    return reply;
  };
  const socket = createSocket("udp4");
  socket.on("message", (query, from) => {
    if (last !== "silent") socket.send(answer(query), from.port, from.address);
  });
  createServer((connection) => {
    connection.on("error", () => {});
    connection.on("data", (data: Buffer) => {
      const reply = answer(data.subarray(2));
      connection.write(Buffer.concat([Buffer.from([0, reply.length]), reply]));
    });
  }).listen({ host: address, port: Number(port) }, () =>
    socket.bind(Number(port), address, () => console.log("ready")),
  );
} else {
  setTimeout(() => done("timeout"), Number(last));
  if (protocol === "tcp") {
    const socket = connect({ host: address, port: Number(port) }, () => socket.write("ask"));
    socket.on("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.on("data", (data) => done(data.toString().trim()));
  } else {
    const socket = createSocket("udp4");
    socket.on("error", (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.on("message", (data) => done(data.toString().trim()));
    socket.send("ask", Number(port), address);
  }
}
