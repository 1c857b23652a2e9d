/** What the server itself answers when a request cannot be served. */
import { type Fault, FAULTS, statusOf } from "../base/fault.ts";
import type { Exchange } from "./exchange.ts";
import { reasonOf } from "./fetch_app.ts";
import { HeadWriter } from "./head_writer.ts";

/** A whole answer to a request that has no exchange. */
export function refusal(fault: Fault): Uint8Array {
  const out = new HeadWriter();
  const status = statusOf(fault.fault);
  out.statusLine(status, reasonOf(status));
  out.line("Connection", "close");
  out.contentLength(0);
  out.endHead();
  return out.view();
}

/** Answers an exchange whose app gave up with a fault. */
export async function sendRefusal(exchange: Exchange, fault: Fault): Promise<void> {
  const status = statusOf(fault.fault);
  exchange.respond(status, reasonOf(status)).line("Content-Type", "text/plain; charset=utf-8");
  await exchange.send(new TextEncoder().encode(`${FAULTS[fault.fault].words}\n`));
}
