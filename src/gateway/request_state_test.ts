import { assertEquals } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { RequestState } from "./request_state.ts";
import { FakeClient } from "./testing/fake_client.ts";

function stateOf(client: FakeClient, honourIdempotencyKey = false): RequestState {
  const settings = { bodyMax: 1_000, honourIdempotencyKey };
  return new RequestState(client, "http", settings, { bytes: 0 }, 0);
}

Deno.test("a key makes a POST repeatable only if the option is set", () => {
  const post = () => new FakeClient("POST", "/", "Idempotency-Key: 1\r\n");
  assertEquals([stateOf(post()).isRepeatable, stateOf(post(), true).isRepeatable], [false, true]);
  assertEquals(stateOf(new FakeClient("POST"), true).isRepeatable, false);
  assertEquals(stateOf(new FakeClient("PUT")).isRepeatable, true);
});

Deno.test("a client that leaves ends the running attempt, and aborts the signal", () => {
  const client = new FakeClient();
  const state = stateOf(client);
  const { signal } = state;
  const left: Fault[] = [];
  state.attempt = { clientLeft: (fault) => left.push(fault) };
  assertEquals([signal.aborted, state.signal === signal], [false, true]);
  const fault = new Fault("clientReset");
  client.leave(fault);
  assertEquals([signal.aborted, left], [true, [fault]]);
});

Deno.test("the signal is aborted from its beginning if the client has left before", () => {
  const before = new FakeClient();
  before.leave();
  assertEquals(stateOf(before).signal.aborted, true);
  const between = new FakeClient();
  const state = stateOf(between);
  between.leave();
  assertEquals(state.signal.aborted, true);
});
