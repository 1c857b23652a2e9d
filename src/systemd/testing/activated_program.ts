/**
 * Opens listening sockets as descriptors 3 to 8, as systemd passes them, and prints what `activated` finds for the
 * names of the argument. Ports and paths are printed as PORT1 … and UNIX.
 */
import { activated, type WantedListener } from "../activation.ts";
import { parseAddress } from "../../base/address.ts";
import { ConfigError } from "../../base/config_error.ts";
import { Libc } from "../../linux/libc.ts";
import { endpointOf, ipSockaddr, unixSockaddr } from "../../linux/sockaddr.ts";

const [names = ""] = Deno.args;
const folder = Deno.makeTempDirSync();
const path = `${folder}/admin.sock`;
const libc = new Libc();
const { dup2 } = Deno.dlopen("libc.so.6", {
  dup2: { parameters: ["i32", "i32"], result: "i32" },
}).symbols;
const options = { backlog: 8, userTimeoutMs: 0 };
const loopback = () => libc.listen(ipSockaddr("127.0.0.1", 0)!, options);
const first = loopback();
const pipe = libc.pipe();
if (typeof pipe === "number") throw new Error(`pipe: ${pipe}`);
const second = loopback();
const third = loopback();
const sources = [first, first, libc.listen(unixSockaddr(path), options), second, third, pipe.read];
const portOf = (fd: number) => {
  const end = endpointOf(libc.localAddress(fd));
  return end.kind === "ip" ? end.port : 0;
};
const ports = [first, second, third].map(portOf);
const wanted = (name: string, text: string): WantedListener => {
  const address = parseAddress(text);
  if (address instanceof ConfigError) throw new Error(text);
  return { owner: name === "admin" ? { is: "admin" } : { is: "service", name }, address };
};
const places = [
  wanted("db", "127.0.0.1:1"),
  wanted("also", `127.0.0.1:${ports[0]}`),
  wanted("web", `127.0.0.1:${ports[0]}`),
  wanted("admin", `unix:${path}`),
  wanted("local", `localhost:${ports[2]}`),
];
const env = { LISTEN_FDS: "6", LISTEN_PID: String(Deno.pid), LISTEN_FDNAMES: names };
const masked = (text: string) =>
  ports.reduce(
    (masked, port, at) =>
      masked.replaceAll(new RegExp(`(127.0.0.1:)?${port}\\b`, "g"), `PORT${at + 1}`),
    text.replaceAll(`unix:${path}`, "UNIX"),
  );
// The runtime's own descriptors have these numbers; they come back before it needs them again.
const high = sources.map((fd, at) => dup2(fd, 900 + at));
const kept = sources.map((_, at) => dup2(3 + at, 950 + at));
high.forEach((fd, at) => dup2(fd, 3 + at));
const lookUp = (name: string) => Promise.resolve(name === "localhost" ? ["127.0.0.1"] : []);
const { listeners, unused, warnings } = await activated(env, Deno.pid, places, lookUp);
kept.forEach((fd, at) => dup2(fd, 3 + at));
console.log(masked(JSON.stringify({
  listeners: listeners.map(({ owner, address, descriptor, isLent }) => [
    descriptor,
    owner,
    address,
    isLent,
  ]),
  unused,
  warnings,
})));
Deno.removeSync(folder, { recursive: true });
