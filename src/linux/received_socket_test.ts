import { assert, assertEquals } from "@std/assert";
import { Libc } from "./libc.ts";
import { isListeningFor, listensAt } from "./received_socket.ts";
import { endpointOf, ipSockaddr, unixSockaddr } from "./sockaddr.ts";

const ignore = Deno.build.os !== "linux";

Deno.test("a socket is what a bind to the address gives, or it is not", () => {
  const at = (ip: string, port: number) => ipSockaddr(ip, port)!;
  const rows: [Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>, boolean][] = [
    [at("127.0.0.1", 80), at("127.0.0.1", 80), true],
    [at("127.0.0.1", 80), at("127.0.0.1", 0), true],
    [at("127.0.0.1", 80), at("127.0.0.1", 81), false],
    [at("127.0.0.2", 80), at("127.0.0.1", 80), false],
    [at("0.0.0.0", 80), at("127.0.0.1", 80), false],
    [at("::", 80), at("::", 80), true],
    [at("0.0.0.0", 80), at("::", 80), true],
    [at("::", 80), at("0.0.0.0", 80), false],
    [unixSockaddr("/run/a.sock"), unixSockaddr("/run/a.sock"), true],
    [unixSockaddr("/run/a.sock"), unixSockaddr("/run/b.sock"), false],
    [unixSockaddr("/run/a.sock"), at("127.0.0.1", 80), false],
    [at("127.0.0.1", 80), unixSockaddr("/run/a.sock"), false],
  ];
  for (const [found, asked, expected] of rows) {
    assertEquals(isListeningFor(found, asked), expected, `${found} for ${asked}`);
  }
});

Deno.test({
  name: "only a listening stream socket listens; a connected one, a pipe and a file do not",
  ignore,
  async fn() {
    using libc = new Libc();
    const options = { backlog: 1, userTimeoutMs: 0 };
    const listener = libc.listen(ipSockaddr("127.0.0.1", 0)!, options);
    const local = libc.localAddress(listener);
    assertEquals(listensAt(listener), local);
    const client = libc.connect(local, options);
    const pipe = libc.pipe();
    assert(typeof pipe !== "number");
    const others = [client, pipe.read, 0x7fff];
    assertEquals(others.map(listensAt), [undefined, undefined, undefined]);
    const folder = await Deno.makeTempDir();
    const path = `${folder}/a.sock`;
    const unix = libc.listen(unixSockaddr(path), options);
    assertEquals(endpointOf(listensAt(unix)!), { kind: "unix", path });
    for (const fd of [listener, client, pipe.read, pipe.write, unix]) libc.close(fd);
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name: "a prepared socket never blocks, is not inherited, and listens further with another queue",
  ignore,
  async fn() {
    // As a parent leaves it: accepting blocks, and programs inherit it.
    const program = `
      const c = Deno.dlopen("libc.so.6", {
        socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
        listen: { parameters: ["i32", "i32"], result: "i32" },
      }).symbols;
      const { prepareReceived, listensAt } = await import(${
      JSON.stringify(import.meta.resolve("./received_socket.ts"))
    });
      const fd = c.socket(2, 1, 0);
      c.listen(fd, 1);
      const flags = () => /flags:\\s*(\\d+)/.exec(Deno.readTextFileSync("/proc/self/fdinfo/" + fd))[1];
      const before = flags();
      prepareReceived(fd, { backlog: 16, userTimeoutMs: 5000 });
      console.log(JSON.stringify([before, flags(), listensAt(fd) !== undefined]));`;
    const command = new Deno.Command(Deno.execPath(), { args: ["eval", "--quiet", program] });
    const { stdout } = await command.output();
    const [before, after, listens] = JSON.parse(new TextDecoder().decode(stdout));
    assertEquals([parseInt(before, 8) & 0o2004000, parseInt(after, 8) & 0o2004000, listens], [
      0,
      0o2004000,
      true,
    ]);
  },
});
