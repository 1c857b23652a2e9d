/** The table of RFC 7541 section 4. */
import { assertEquals } from "@std/assert";
import { DynamicTable } from "./dynamic_table.ts";

function entry(name: string, value = "") {
  const encoder = new TextEncoder();
  return { name: encoder.encode(name), value: encoder.encode(value) };
}

function names(table: DynamicTable): string[] {
  const list: string[] = [];
  for (let i = 0; i < table.count; i++) list.push(new TextDecoder().decode(table.at(i)!.name));
  return list;
}

Deno.test("the newest entry is the first, and the oldest ones go", () => {
  const table = new DynamicTable(100);
  table.add(entry("a", "1"));
  table.add(entry("b", "2"));
  assertEquals([names(table), table.bytes], [["b", "a"], 68]);
  table.add(entry("c", "3"));
  assertEquals([names(table), table.bytes], [["c", "b"], 68]);
  assertEquals(table.at(2), undefined);
});

Deno.test("an entry that is larger than the table empties it", () => {
  const table = new DynamicTable(100);
  table.add(entry("a"));
  table.add(entry("b".repeat(69)));
  assertEquals([names(table), table.bytes], [[], 0]);
});

Deno.test("a new size removes what does not fit, and cannot exceed the limit", () => {
  const table = new DynamicTable(100);
  table.add(entry("a"));
  table.add(entry("b"));
  assertEquals([table.resize(40), names(table)], [true, ["b"]]);
  assertEquals([table.resize(101), names(table)], [false, ["b"]]);
  assertEquals([table.resize(0), names(table)], [true, []]);
});

Deno.test("it goes round many times", () => {
  const table = new DynamicTable(4096);
  for (let i = 0; i < 1_000; i++) table.add(entry(`name-${i}`, "v".repeat(i % 50)));
  const [newest = ""] = names(table);
  assertEquals([newest, names(table).at(-1)], ["name-999", `name-${1_000 - table.count}`]);
});
