import { assertEquals } from "@std/assert";
import { activated, type WantedListener } from "./activation.ts";

const ignore = Deno.build.os !== "linux";
const nobody = () => Promise.resolve([]);
const at = (port: number): WantedListener => ({
  owner: { is: "service", name: "db" },
  address: { kind: "tcp", host: "127.0.0.1", port },
});

Deno.test("without sockets for this process nothing is used, and a line says why if there are some", async () => {
  const warningsOf = async (env: Record<string, string>) => {
    const { listeners, unused, warnings } = await activated(env, 7, [at(1)], nobody);
    assertEquals([listeners, unused], [[], []]);
    return warnings;
  };
  assertEquals(await warningsOf({}), []);
  assertEquals(await warningsOf({ LISTEN_FDS: "0", LISTEN_PID: "7" }), []);
  assertEquals(await warningsOf({ LISTEN_FDS: "2", LISTEN_PID: "8" }), [
    "LISTEN_FDS is for process 8 and this is 7: its sockets are not used",
  ]);
  assertEquals(await warningsOf({ LISTEN_FDS: "2" }), [
    "LISTEN_FDS is for process (no LISTEN_PID) and this is 7: its sockets are not used",
  ]);
  for (const count of ["", "-1", "many", "1001", "99999"]) {
    assertEquals(await warningsOf({ LISTEN_FDS: count, LISTEN_PID: "7" }), [
      `LISTEN_FDS is "${count}", which is no number of sockets: they are not used`,
    ]);
  }
});

/** The sockets are descriptors 3, 4 …, so each case runs in a process of its own. */
async function inChild(names: string) {
  const program = new URL("./testing/activated_program.ts", import.meta.url).pathname;
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", program, names],
    stderr: "inherit",
  }).output();
  return JSON.parse(new TextDecoder().decode(output.stdout));
}

Deno.test({
  name: "sockets are matched by address and by name, and each that fits nothing has its line",
  ignore,
  async fn() {
    const found = await inChild("web:other:admin:db:unknown:pipe");
    assertEquals(found.listeners, [
      // The name decides between two services at the same address.
      [3, { is: "service", name: "web" }, "PORT1", true],
      [4, { is: "service", name: "also" }, "PORT1", true],
      [5, { is: "admin" }, "UNIX", true],
      [7, { is: "service", name: "local" }, "localhost:PORT3", true],
    ]);
    assertEquals(found.unused, [6, 8]);
    assertEquals(found.warnings, [
      "descriptor 6 (db) listens on PORT2, and db on 127.0.0.1:1: not used",
      "descriptor 8 (pipe) is no listening stream socket: not used",
    ]);
    const unnamed = await inChild("");
    assertEquals(unnamed.listeners.map(([fd]: [number]) => fd), [3, 4, 5, 7]);
    assertEquals(
      unnamed.warnings[0],
      "descriptor 6 listens on PORT2, where this proxy does not: not used",
    );
  },
});
