/** The contract of other settings while the relay runs: all sessions stay, and the settings are in force. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { newClientTables } from "../../net/client_limit.ts";
import {
  echoes,
  encode,
  ended,
  type MakeRelay,
  readText,
  readToEnd,
  RelayFixture,
  SETTINGS,
  TestUpstream,
  writeAll,
} from "./relay_fixture.ts";

/** Waits until a byte has passed in both directions. */
async function echo(client: Deno.Conn, byte = "x"): Promise<void> {
  await writeAll(client, encode(byte));
  assertEquals(await readText(client, 1), byte);
}

export function configureContract(name: string, make: MakeRelay): void {
  Deno.test(`${name}: other settings leave sessions and the port as they are`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using client = await fixture.connect();
    await echo(client);
    for (let times = 1; times <= 10; times++) {
      await fixture.relay.configure({
        ...SETTINGS,
        connectTimeoutMs: 1_000 + times,
        holdMs: times,
      });
      await echo(client);
    }
    using other = await fixture.connect();
    await echo(other);
    assertEquals(fixture.all("port.closed"), []);
    assertEquals(fixture.relay.counters().accepted, 2);
  });

  Deno.test(`${name}: a larger limit lets clients in that wait, a smaller one cuts nobody`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(make, { connectionsMax: 1 });
    await fixture.relay.open(primary.upstream, 1);
    using first = await fixture.connect();
    await echo(first);
    using second = await fixture.connect();
    await writeAll(second, encode("y"));
    await fixture.event("limit.reached");
    await fixture.relay.configure({ ...SETTINGS, connectionsMax: 2 });
    assertEquals(await readText(second, 1), "y");
    await fixture.relay.configure({ ...SETTINGS, connectionsMax: 1 });
    await echo(first);
    await echo(second);
    using third = await fixture.connect();
    await writeAll(third, encode("z"));
    await fixture.counters("two clients", (c) => c.accepted === 2);
    second.close();
    first.close();
    assertEquals(await readText(third, 1), "z");
  });

  Deno.test(`${name}: an idle time that is set later ends sessions that there are, and one that is removed none`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(make, { idleTimeoutMs: 3_600_000 });
    await fixture.relay.open(primary.upstream, 1);
    using kept = await fixture.connect();
    await echo(kept);
    await fixture.relay.configure({ ...SETTINGS, idleTimeoutMs: 60 });
    assert(await ended(kept));
    await fixture.relay.configure(SETTINGS);
    using client = await fixture.connect();
    await echo(client);
    await fixture.relay.configure({ ...SETTINGS, idleTimeoutMs: 3_600_000 });
    await echo(client);
    await fixture.relay.configure({ ...SETTINGS, idleTimeoutMs: 60 });
    assert(await ended(client));
  });

  Deno.test(`${name}: the next upstream connections begin with the PROXY header that is asked for`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(make);
    await fixture.relay.open(primary.upstream, 1);
    using before = await fixture.connect();
    await echo(before);
    await fixture.relay.configure({ ...SETTINGS, sendProxy: "v1" });
    using client = await fixture.connect();
    await writeAll(client, encode("x"));
    assertMatch(await readText(client, 6), /^PROXY /);
    await echo(before);
  });

  Deno.test(`${name}: clients wait as long as the new settings say, and not at all if none may`, async () => {
    await using primary = new TestUpstream("a", echoes);
    await using fixture = await RelayFixture.start(make, { holdMs: 3_600_000 });
    await fixture.relay.open(primary.upstream, 1);
    await fixture.relay.hold();
    await fixture.relay.configure({ ...SETTINGS, holdMs: 30, connectTimeoutMs: 30 });
    using late = await fixture.connect();
    assertEquals(await readToEnd(late), "");
    await fixture.relay.configure({ ...SETTINGS, heldMax: 0, holdMs: 3_600_000 });
    using unwanted = await fixture.connect();
    assertEquals(await readToEnd(unwanted), "");
    await fixture.relay.configure(SETTINGS);
    using waiting = await fixture.connect();
    await writeAll(waiting, encode("w"));
    await fixture.counters("it waits", (c) => c.held === 1);
    await fixture.relay.open(primary.upstream, 2);
    assertEquals(await readText(waiting, 1), "w");
  });

  Deno.test(`${name}: the limit for each client changes`, async () => {
    await using primary = new TestUpstream("a", echoes);
    const clientTables = newClientTables(1, 100, 1);
    await using fixture = await RelayFixture.start(make, { clientTables });
    await fixture.relay.open(primary.upstream, 1);
    using first = await fixture.connect();
    await echo(first);
    using refused = await fixture.connect();
    assert(await ended(refused));
    await fixture.relay.configure({ ...SETTINGS, clientTables: { ...clientTables, max: 2 } });
    using second = await fixture.connect();
    await echo(second);
    assertEquals(fixture.relay.counters().overLimit, 1);
  });
}
