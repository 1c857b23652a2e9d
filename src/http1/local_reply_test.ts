import { assertEquals, assertMatch } from "@std/assert";
import { Fault, FAULTS, statusOf } from "../base/fault.ts";
import { ALLOWED, localReply } from "./local_reply.ts";
import { GET, serverFixture } from "./testing/server_fixture.ts";

Deno.test("a reply to a request without an exchange has the status of its fault and closes", () => {
  const reply = new TextDecoder().decode(localReply(new Fault("headTooLarge"), 784_111_777_000));
  assertMatch(reply, /^HTTP\/1\.1 431 [^\r]+\r\n/);
  assertEquals(
    reply.slice(reply.indexOf("\r\n") + 2),
    [
      "Date: Sun, 06 Nov 1994 08:49:37 GMT",
      "Connection: close",
      "Content-Length: 0",
      "\r\n",
    ].join("\r\n"),
  );
});

Deno.test("a handler that fails with a fault is answered with its status and text; 405 names the methods", async () => {
  for (const name of ["methodRefused", "tooManyHeld"] as const) {
    const { connect } = serverFixture(() => Promise.reject(new Fault(name)));
    const { client, done } = connect();
    await client.sendText(GET);
    await client.closeWrite();
    const answer = await client.readAllText();
    await done;
    assertMatch(answer, new RegExp(`^HTTP/1\\.1 ${statusOf(name)} `));
    assertEquals(answer.includes(`${FAULTS[name].words}\n`), true);
    assertEquals(answer.includes(`Allow: ${ALLOWED}\r\n`), name === "methodRefused");
  }
});
