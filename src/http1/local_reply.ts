/** The server's own answers to requests that cannot be served. */
import { type Fault, FAULTS, statusOf } from "../base/fault.ts";
import type { Exchange } from "./exchange.ts";
import { reasonOf } from "./fetch_app.ts";
import { HeadWriter } from "./head_writer.ts";
import { httpDate } from "./http_date.ts";

/** For `Allow` (RFC 9110 section 15.5.6): methods that are forwarded. Unknown methods are forwarded, too. */
export const ALLOWED = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/** A whole response, as bytes, to a request that has no exchange. `wallMs`: milliseconds since 1970. */
export function localReply(fault: Fault, wallMs: number): Uint8Array {
  const out = new HeadWriter();
  const status = statusOf(fault.fault);
  out.statusLine(status, reasonOf(status));
  out.line("Date", httpDate(wallMs));
  out.line("Connection", "close");
  out.contentLength(0);
  out.endHead();
  return out.view();
}

/** Answers an exchange whose handler rejected with a fault. */
export async function sendLocalReply(
  exchange: Pick<Exchange, "answer" | "send">,
  fault: Fault,
): Promise<void> {
  const status = statusOf(fault.fault);
  const out = exchange.answer(status, reasonOf(status));
  out.line("Content-Type", "text/plain; charset=utf-8");
  if (fault.fault === "methodRefused") out.line("Allow", ALLOWED);
  await exchange.send(new TextEncoder().encode(`${FAULTS[fault.fault].words}\n`));
}
