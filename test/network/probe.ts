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
} else {
  const done = (text: string) => {
    console.log(text);
    process.exit(0);
  };
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
