import { assertEquals } from "@std/assert";
import { addressOfDeno, closeConn, tune } from "./conn.ts";

Deno.test("a tuned socket sends at once and is kept alive", () => {
  const calls: string[] = [];
  const conn = {
    setNoDelay: (on: boolean) => calls.push(`noDelay ${on}`),
    setKeepAlive: (on: boolean) => calls.push(`keepAlive ${on}`),
  };
  tune(conn as unknown as Deno.Conn, true);
  assertEquals(calls, ["noDelay true", "keepAlive true"]);
});

Deno.test("a unix socket has nothing to tune", () => {
  tune({} as Deno.Conn);
});

Deno.test("a socket may be closed twice", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const conn = await Deno.connect({ port: (listener.addr as Deno.NetAddr).port });
  (await listener.accept()).close();
  closeConn(conn);
  closeConn(conn);
});

Deno.test("the socket addresses of Deno are converted to our own", () => {
  assertEquals(
    addressOfDeno({ transport: "tcp", hostname: "::1", port: 7 }),
    { kind: "tcp", host: "::1", port: 7 },
  );
  assertEquals(addressOfDeno({ transport: "unix", path: "/run/x" }), {
    kind: "unix",
    path: "/run/x",
  });
});
