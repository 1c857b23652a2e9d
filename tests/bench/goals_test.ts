import { assertEquals } from "@std/assert";
import { goalRow, ratio, verdictOn } from "./goals.ts";
import { SECTIONS } from "./goal_sections.ts";

Deno.test("[bench] a goal is judged by the number that is printed", () => {
  const most = { title: "a", unit: "×", max: 1 };
  assertEquals([0.9, 1.004, 1.006].map((value) => verdictOn(most, value)), [
    "met",
    "met",
    "missed",
  ]);
  const least = { title: "a", unit: "×", min: 0.95 };
  assertEquals([0.944, 0.946].map((value) => verdictOn(least, value)), ["missed", "met"]);
});

Deno.test("[bench] a figure that was not measured misses its goal, and one without a limit has no verdict", () => {
  assertEquals(verdictOn({ title: "a", unit: "s", max: 3 }, NaN), "missed");
  assertEquals(verdictOn({ title: "a", unit: "s", min: 3 }, NaN), "missed");
  assertEquals(verdictOn({ title: "a", unit: "s" }, NaN), "");
});

Deno.test("[bench] a row shows the goal, the result and its source", () => {
  const goal = { title: "HTTP small: rate", unit: "×", min: 1 };
  assertEquals(
    goalRow(goal, ratio(45_000, 60_000, "requests/s"), "missed"),
    "| HTTP small: rate | ≥ 1 | 0.75 × | missed | 45000 : 60000 requests/s |",
  );
  const lines = goalRow(
    { title: "services", unit: "s", max: 3 },
    { value: NaN, detail: "" },
    "missed",
  );
  assertEquals(lines, "| services | ≤ 3 | nothing | missed |  |");
});

Deno.test("[bench] sections and goals have unique names", () => {
  const names = SECTIONS.map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
  const titles = SECTIONS.flatMap(({ goals }) =>
    goals.map(({ title, unit }) => `${title} ${unit}`)
  );
  assertEquals(new Set(titles).size, titles.length);
});
