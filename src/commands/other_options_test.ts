import { assertEquals } from "@std/assert";
import { otherOptions } from "./other_options.ts";

Deno.test("options have the names and values of the proxy's own table", () => {
  assertEquals(otherOptions([]), {});
  assertEquals(
    otherOptions(["fail_threshold=2", "--hold=3s", "failback=5m", "failback-damping=off"]),
    {
      ...{ fall: 2, holdMs: 3_000, damping: false },
      failback: { kind: "after", ms: 300_000 },
    },
  );
});

Deno.test("each error is one line", () => {
  const errorsFor = (...options: string[]) => otherOptions(options);
  assertEquals(
    errorsFor("fail_threshold"),
    'Cannot use "fail_threshold" as --with: expected OPTION=VALUE',
  );
  assertEquals(
    errorsFor("fail_treshold=2"),
    'Unknown option "fail_treshold"; did you mean fail_threshold?',
  );
  assertEquals(
    errorsFor("fail_threshold=0"),
    'Cannot use "0" as fail_threshold: expected a whole number from 1 to 100 (from --with)',
  );
  assertEquals(errorsFor("hold=1s", "hold=2s"), "hold is given more than once");
  const unusable = errorsFor("check_interval=1s");
  assertEquals(
    typeof unusable === "string" && unusable.startsWith("Cannot use check_interval as --with: "),
    true,
  );
});
