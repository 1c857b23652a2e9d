/** Fields as another program compresses and reads them: Node's client of HTTP/2, through the whole gateway. */
import { assertEquals } from "@std/assert";
import { connect } from "node:http2";
import { random } from "../../src/http1/testing/mutations.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { onBothSockets } from "./both_sockets.ts";
import { nodeUpstream } from "./gateway_fixture.ts";

const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUE = LETTERS + "ABC \"'(),/:;<=>?@[]{}~!#$%&*+.^`|\\";

onBothSockets("random fields arrive and come back as they were sent", async ({ start }) => {
  const next = random(5);
  const text = (from: string, most: number) =>
    Array.from({ length: 1 + next(most) }, () => from[next(from.length)]!).join("");
  await using up = await nodeUpstream((request, response) => {
    for (const [name, value] of Object.entries(request.headers)) {
      if (name.startsWith("x-f-")) response.setHeader(name, value!);
    }
    response.end();
  });
  await using fixture = await start([up.port], { protocol: "HTTP/2" });
  await fixture.open(0);
  const session = connect(`http://127.0.0.1:${fixture.port}`);
  const known: Record<string, string> = {};
  for (let round = 0; round < 60; round++) {
    // Some names and values come again, so that the table of the client is used.
    for (let i = next(4); i > 0; i--) {
      known[`x-f-${text(LETTERS, 12)}`] = text(VALUE, next(4) === 0 ? 400 : 20).trim() || "x";
    }
    const names = Object.keys(known).filter(() => next(3) === 0).slice(0, 20);
    const sent = Object.fromEntries(names.map((name) => [name, known[name]!]));
    const request = session.request({ ":path": `/${round}`, ...sent });
    const got = await withTestDeadline(
      `round ${round}`,
      new Promise<Record<string, unknown>>((resolve, reject) => {
        request.on("response", resolve);
        request.on("error", reject);
      }),
    );
    request.resume();
    const back = Object.fromEntries(
      Object.entries(got).filter(([name]) => name.startsWith("x-f-")),
    );
    assertEquals([got[":status"], back], [200, sent], `round ${round}`);
  }
  await new Promise<void>((resolve) => session.close(resolve));
});
