import { assertEquals } from "@std/assert";
import { Dice } from "../../base/testing/dice.ts";
import type { Parcel } from "../../net/handover.ts";
import { parcelOf, type PassedSession, readParcel } from "./parcel.ts";

const EMPTY = { is: 16, held: 0, pipe: undefined, bytes: undefined };
const SESSIONS: readonly PassedSession[] = [
  { client: 7, addresses: undefined, joined: undefined },
  {
    client: 7,
    addresses: {
      client: { kind: "tcp", host: "2001:db8::1", port: 0 },
      local: { kind: "tcp", host: "192.0.2.1", port: 5432 },
    },
    joined: {
      upstream: 8,
      upstreamName: "db1:5432",
      epoch: 3,
      idleMs: 12_000,
      up: { is: 16, held: 4, pipe: undefined, bytes: new Uint8Array([1, 2, 3, 4]) },
      down: {
        is: 80,
        held: 9_000,
        pipe: { read: 9, write: 10, capacity: 65_536 },
        bytes: undefined,
      },
    },
  },
  {
    client: 7,
    addresses: undefined,
    joined: { upstream: 8, upstreamName: "a", epoch: 0, idleMs: 0, up: EMPTY, down: EMPTY },
  },
];

Deno.test("a session is read as it was written, with its descriptors in their places", () => {
  for (const session of SESSIONS) {
    const parcel = parcelOf(session);
    assertEquals(readParcel(parcel), session);
    assertEquals(parcel.descriptors[0], 7);
  }
  assertEquals(parcelOf(SESSIONS[1]!).descriptors, [7, 8, 9, 10]);
});

Deno.test("what is not whole, of another kind or of another form is not read, and never throws", () => {
  const dice = new Dice(1);
  for (const session of SESSIONS) {
    const parcel = parcelOf(session);
    const refused = (change: Partial<Parcel>) =>
      assertEquals(readParcel({ ...parcel, ...change }), undefined);
    const { content, descriptors } = parcel;
    refused({ kind: "http" });
    refused({ descriptors: descriptors.slice(1) });
    refused({ descriptors: [...descriptors, 99] });
    refused({ content: new Uint8Array([...content, 0]) });
    for (let length = 0; length < content.length; length++) {
      refused({ content: content.slice(0, length) });
    }
    const text = new TextDecoder().decode(content.subarray(4));
    assertEquals(text.includes('"form":1'), true);
    const other = content.slice();
    other.set(new TextEncoder().encode('"form":2'), 4 + text.indexOf('"form":1'));
    refused({ content: other });
    for (let round = 0; round < 2_000; round++) {
      const damaged = content.slice();
      damaged[dice.under(damaged.length)] = dice.under(256);
      readParcel({ ...parcel, content: damaged });
    }
  }
});
