/**
 * Echo (7) and daytime (13) on the kernel's TCP, by Bun's sockets: the program that tapwire's servers are compared with where
 * connections and requests are counted.
 *
 *   bun bench/tun/bun-server.ts [NAME]     NAME is ignored: who looks for the process finds it by that
 */

const today = new TextEncoder().encode(`${new Date()}\r\n`);

// What is written here is shorter than what a socket takes at once.
Bun.listen({
  hostname: "0.0.0.0",
  port: 7,
  socket: {
    data(socket, bytes) {
      socket.write(bytes);
    },
  },
});

Bun.listen({
  hostname: "0.0.0.0",
  port: 13,
  socket: {
    open(socket) {
      socket.end(today);
    },
    data() {},
  },
});

console.log("the kernel serves 7 and 13");
