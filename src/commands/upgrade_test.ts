import { assertEquals } from "@std/assert";
import type { Connection, ControlReply } from "./connection.ts";
import { upgradeCommand } from "./upgrade.ts";

/** Runs the command against a proxy that answers like this. */
async function run(reply: ControlReply, PATH?: string, json = false) {
  const printed: string[] = [];
  const asked: string[] = [];
  const connection = {
    order: (path: string) => {
      asked.push(path);
      return Promise.resolve(reply);
    },
  } as unknown as Connection;
  const io = {
    out: (text: string) => void printed.push(text),
    err: (text: string) => void printed.push(`! ${text}`),
    isTerminal: false,
    stop: new AbortController().signal,
  };
  const nothing = { values: {}, lists: {}, switches: new Set<string>(), help: false };
  const operands: Record<string, string> = PATH === undefined ? {} : { PATH };
  const given = { ...nothing, operands, json };
  const code = await upgradeCommand(given, connection, io, () => "/home/ann");
  return { code, printed, asked };
}

const DONE = {
  status: 200,
  body: { from: { version: "1.0.0", pid: 41 }, to: { version: "2.0.0", pid: 42 } },
};

Deno.test("upgrade says who has taken over, and names the executable by its absolute path", async () => {
  assertEquals(await run(DONE), {
    code: 0,
    printed: ["upgrade: done, process 42 (2.0.0) has taken over from 41 (1.0.0)"],
    asked: ["upgrade?wait=true"],
  });
  assertEquals((await run(DONE, "./new")).asked, ["upgrade?wait=true&path=%2Fhome%2Fann%2Fnew"]);
  assertEquals((await run(DONE, "/opt/new")).asked, ["upgrade?wait=true&path=%2Fopt%2Fnew"]);
  const { code, printed } = await run(DONE, undefined, true);
  assertEquals([code, JSON.parse(printed[0]!)], [0, DONE.body]);
});

Deno.test("an upgrade that was refused has exit code 2 and shows each line of the reason", async () => {
  const lines = ["--bind is wrong", "--hosts is missing"];
  const refused = { status: 409, body: { lines, error: lines.join("; "), outcome: "refused" } };
  assertEquals(await run(refused), {
    code: 2,
    printed: lines.map((line) => `! failover: not upgraded: ${line}`),
    asked: ["upgrade?wait=true"],
  });
  assertEquals((await run({ status: 404, body: { error: "no such endpoint" } })).code, 64);
});
