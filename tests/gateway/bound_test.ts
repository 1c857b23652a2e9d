/** A connection that a login has authenticated (NTLM, Negotiate) is never used for another client. */
import { assertEquals } from "@std/assert";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { close, rawUpstream, readUntil, sendText } from "./gateway_fixture.ts";
import { onBothProtocols } from "./both_sockets.ts";
import type { StoryClient } from "./story_client.ts";

onBothProtocols(
  "a login for a connection serves the client that made it, and ends with it",
  async ({ start, protocol }) => {
    let ended = 0;
    const gone = Promise.withResolvers<void>();
    await using up = rawUpstream(async (conn) => {
      let who = "";
      try {
        for (let head = await readUntil(conn); head !== ""; head = await readUntil(conn)) {
          who = /authorization: (?:NTLM|Negotiate) (\w+)/i.exec(head)?.[1] ?? who;
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
    const ask = async (client: StoryClient, lines: readonly string[] = []) => {
      const asked = await client.begin("GET", "/", lines);
      const { body } = await withTestDeadline("an answer", asked.answer());
      return /hello \w+/.exec(body)?.[0];
    };
    const [alice, stranger] = [await fixture.client(), await fixture.client()];
    assertEquals(await ask(alice), "hello nobody");
    assertEquals(await ask(alice, ["Authorization: NTLM alice"]), "hello alice");
    assertEquals(await ask(stranger), "hello nobody");
    // The connection stays with this client, with the login or without. Clients of different people may share one of
    // HTTP/2, so that there the login ends with its response.
    assertEquals(await ask(alice), protocol === "HTTP/2" ? "hello nobody" : "hello alice");
    assertEquals(await ask(stranger), "hello nobody");
    if (protocol === "HTTP/1.1") close(alice.conn);
    await withTestDeadline("the client's connection to the upstream to end", gone.promise);
    assertEquals(await ask(await fixture.client()), "hello nobody");
  },
);
