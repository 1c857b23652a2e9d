/** A shortage of this machine: the request waits, and no upstream is doubted. */
import { assertEquals } from "@std/assert";
import { Child } from "../harness/child.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { onBothProtocols } from "./both_sockets.ts";

onBothProtocols(
  "without a descriptor for the upstream a request waits, then gets 503; no upstream is doubted",
  async ({ relay, protocol }) => {
    const [out, err]: [string[], string[]] = [[], []];
    const program = new URL("./shortage_program.ts", import.meta.url).pathname;
    const deno = `'${Deno.execPath()}' run -A --no-check -q '${program}' ${relay} ${protocol}`;
    await using child = new Child("/bin/sh", {
      args: ["-c", `ulimit -n 80; exec ${deno}`],
      env: { NO_COLOR: "1" },
      onOut: (line) => out.push(line),
      onErr: (line) => err.push(line),
    });
    await withTestDeadline("the program to end", child.ended, () => err.join("\n"));
    assertEquals([err, out.map((line) => JSON.parse(line))], [[], [
      { status: 200, retried: 0, lost: 0, doubts: 0 },
      { status: 503, retried: 0, lost: 1, doubts: 0 },
    ]]);
  },
  ["/bin/sh"],
);
