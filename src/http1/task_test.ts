import { assertEquals, assertRejects } from "@std/assert";
import { Task } from "./task.ts";

function errorsOf(task: Task): unknown[] {
  const errors: unknown[] = [];
  task.whenEnded({ ended: (error) => void errors.push(error) });
  return errors;
}

Deno.test("a task calls its listener once, at once if it has ended before", () => {
  const task = new Task();
  const before = errorsOf(task);
  task.end();
  task.end(new Error("late"));
  assertEquals(before, [undefined]);
  assertEquals(errorsOf(task), [undefined]);
});

Deno.test("a task that failed reports its error, also to callers that await it", async () => {
  const task = new Task();
  const error = new TypeError("broken");
  const awaited = assertRejects(async () => await task, TypeError, "broken");
  task.end(error);
  await awaited;
  assertEquals(errorsOf(task), [error]);
});

Deno.test("a task that succeeded can be awaited", async () => {
  const task = new Task();
  task.end();
  assertEquals(await task, undefined);
});
