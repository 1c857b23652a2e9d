/** A connection that a login has authenticated (NTLM, Negotiate) is never used for another client. */
import { assertEquals } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { close, rawUpstream, readUntil, sendText } from "./gateway_fixture.ts";
import { onBothSockets } from "./both_sockets.ts";

onBothSockets(
  "a login for a connection serves the client that made it, and ends with it",
  async ({ start }) => {
    let ended = 0;
    const gone = Promise.withResolvers<void>();
    await using up = rawUpstream(async (conn) => {
      let who = "";
      try {
        for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
          who = /Authorization: (?:NTLM|Negotiate) (\w+)/.exec(head)?.[1] ?? who;
          const [status, line] = who === "" ? ["401", "WWW-Authenticate: NTLM\r\n"] : ["200", ""];
          const said = who === "" ? "hello nobody ." : `hello ${who} .`;
          await sendText(
            conn,
            `HTTP/1.1 ${status} X\r\n${line}Content-Length: ${said.length}\r\n\r\n${said}`,
          );
        }
      } finally {
        if (who === "alice" && ++ended === 1) gone.resolve();
      }
    });
    await using fixture = await start([up.port]);
    await fixture.open(0);
    const ask = async (conn: Deno.Conn, line = "") => {
      await sendText(conn, `GET / HTTP/1.1\r\nHost: a\r\n${line}\r\n`);
      return /hello \w+/.exec(await withTestDeadline("an answer", readUntil(conn, " .")))?.[0];
    };
    const [alice, stranger] = [await fixture.connect(), await fixture.connect()];
    assertEquals(await ask(alice), "hello nobody");
    assertEquals(await ask(alice, "Authorization: NTLM alice\r\n"), "hello alice");
    assertEquals(await ask(stranger), "hello nobody");
    // The connection stays with this client, with the login or without.
    assertEquals(await ask(alice), "hello alice");
    assertEquals(await ask(stranger), "hello nobody");
    close(alice);
    await withTestDeadline("the client's connection to the upstream to end", gone.promise);
    assertEquals(await ask(await fixture.connect()), "hello nobody");
  },
);
