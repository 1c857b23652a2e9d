/**
 * An upstream that closes kept connections at the worst time: it prints `METHOD id` for each request that
 * has reached it, answers, and closes the connection without announcing it, at once or after the
 * number of milliseconds in its argument.
 */
import { createServer } from "node:net";

const keptMs = Number(Deno.args[0]);
const encoder = new TextEncoder();
const print = (line: string) => Deno.stdout.writeSync(encoder.encode(`${line}\n`));

const server = createServer({ noDelay: true }, (socket) => {
  let text = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  socket.on("error", () => {});
  socket.on("data", (data) => {
    text += data.toString();
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) return;
    print(`${text.slice(0, text.indexOf(" "))} ${/\r\nx-id: (\S+)/i.exec(text)?.[1]}`);
    text = "";
    clearTimeout(timer);
    socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    if (keptMs === 0) socket.end();
    else timer = setTimeout(() => socket.end(), keptMs);
  });
});
server.listen(0, "127.0.0.1", () => print(`port ${(server.address() as { port: number }).port}`));
