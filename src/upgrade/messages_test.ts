import { assertEquals } from "@std/assert";
import { decodeMessage, encodeMessage, type UpgradeMessage } from "./messages.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

Deno.test("each message is read as it was written, with the bytes after it", () => {
  const messages: readonly UpgradeMessage[] = [
    { type: "hello", protocol: 1, version: "1.2.3", pid: 42 },
    {
      type: "welcome",
      protocol: 1,
      version: "1.2.3",
      pid: 41,
      stateDir: null,
      listenerMessages: 1,
    },
    {
      type: "listeners",
      listeners: [{ owner: { is: "service", name: "db" }, address: "127.0.0.1:1" }],
    },
    { type: "refused", reason: "no" },
    { type: "failed", lines: ["one", "two\nlines"] },
    { type: "memory", service: "db", text: "{}\n" },
    { type: "parcel", id: 1, service: "db", kind: "splice" },
    { type: "got", id: 1, isTaken: false },
    ...(["ready", "take", "took", "go", "end"] as const).map((type) => ({ type })),
  ];
  for (const message of messages) {
    const content = new Uint8Array([1, 10, 0, 255]);
    assertEquals(decodeMessage(encodeMessage(message, content)), { message, content });
    assertEquals(decodeMessage(encodeMessage(message))?.content.length, 0);
  }
});

Deno.test("what is no message of this protocol is refused", () => {
  const wrong = [
    "",
    "hello",
    "{}\n",
    "null\n",
    '{"type":"hello"}\n',
    '{"type":"toString"}\n',
    '{"type":"hello","protocol":"1","version":"1","pid":2}\n',
    '{"type":"listeners","listeners":[{"address":"a","owner":{"is":"nobody"}}]}\n',
    '{"type":"failed","lines":[1]}\n',
    '{"type":"ready"}',
  ];
  for (const text of wrong) assertEquals(decodeMessage(bytesOf(text)), undefined, text);
});
