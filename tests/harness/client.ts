/** A client for scenarios: opens a connection, sends one line, reads the answer. */
import { withTestDeadline } from "./test_deadline.ts";
import { LineConn } from "./line_conn.ts";

/** Connects to an address in the form of `--hosts` and `--bind`. */
export async function connectTo(address: string): Promise<LineConn> {
  const what = `a connection to ${address}`;
  if (address.startsWith("unix:")) {
    const path = address.slice("unix:".length);
    return new LineConn(await withTestDeadline(what, Deno.connect({ transport: "unix", path })));
  }
  const colon = address.lastIndexOf(":");
  const hostname = address.slice(0, colon).replace(/^\[|\]$/g, "");
  const port = Number(address.slice(colon + 1));
  return new LineConn(await withTestDeadline(what, Deno.connect({ hostname, port })));
}

/** Opens a connection, sends one question, and returns the answer; `log` is shown if there is none. */
export async function ask(
  address: string,
  question = "who",
  log: () => string = () => "",
): Promise<string> {
  const conn = await connectTo(address);
  try {
    await conn.say(question);
    const answer = await withTestDeadline(`an answer to ${question}`, conn.line(), log);
    if (answer === undefined) throw new Error(`${question}: closed without answer\n${log()}`);
    return answer;
  } finally {
    conn.close();
  }
}
