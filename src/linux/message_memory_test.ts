import { assertEquals } from "@std/assert";
import { MESSAGE_BYTES_MAX, MESSAGE_DESCRIPTORS_MAX, MessageMemory } from "./message_memory.ts";

const ignore = Deno.build.os !== "linux";

Deno.test({
  name: "the memory holds a message with its descriptors, for an odd and an even number of them",
  ignore,
  fn() {
    const memory = new MessageMemory();
    for (const descriptors of [[], [3], [3, 4], [5, 6, 7]]) {
      assertEquals(memory.put(new Uint8Array([1, 2, 3]), descriptors), true);
      const taken = memory.take(3);
      assertEquals(taken.descriptors, descriptors);
      assertEquals([...taken.bytes], [1, 2, 3]);
      assertEquals([taken.isCut, taken.isTooLong], [false, false]);
    }
  },
});

Deno.test({
  name:
    "the memory refuses what no message can hold, and has nothing after it is cleared by the kernel",
  ignore,
  fn() {
    const memory = new MessageMemory();
    const one = new Uint8Array(1);
    assertEquals(memory.put(new Uint8Array(0), []), false);
    assertEquals(memory.put(new Uint8Array(MESSAGE_BYTES_MAX + 1), []), false);
    assertEquals(memory.put(one, new Array<number>(MESSAGE_DESCRIPTORS_MAX + 1).fill(0)), false);
    memory.clear();
    assertEquals(memory.take(0).descriptors, []);
  },
});
