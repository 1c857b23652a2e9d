/** Local replies: error pages, interim responses, and the `Failover` response header. */
import type { FaultName } from "../base/fault.ts";
import { reasonOf } from "../http1/fetch_app.ts";
import type { ResponseHead } from "../http1/head.ts";
import type { Client } from "./downstream.ts";
import { writeResponseFields } from "./headers.ts";
import type { ErrorPage } from "./error_page.ts";
import type { ServerUpstream } from "./upstream.ts";

/** Value of `Retry-After` in each 503 that the proxy answers itself, in seconds: about the time of a failover. */
export const RETRY_AFTER_S = 5;

/** `connectRefused` → `connect-refused`. */
export function wordsOf(fault: FaultName): string {
  return fault.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Value of the `Failover` header. `reason`: why the attempt before this one failed; undefined if none did. */
export function failoverValue(
  role: string,
  attempt: number,
  reason: FaultName | undefined,
): string {
  const why = reason === undefined ? "" : `; reason=${wordsOf(reason)}`;
  return `upstream=${role}; attempt=${attempt}${why}`;
}

/**
 * Answers in place of an upstream. Only for exchanges whose response has not begun. Rejects with the Fault of
 * a client that cannot be answered.
 */
export async function answerWithPage(
  client: Client,
  status: number,
  page: ErrorPage & {
    readonly failover: string | undefined;
    readonly requestId: string | undefined;
    readonly hsts: string | undefined;
  },
): Promise<void> {
  const out = client.answer(status, reasonOf(status));
  out.line("Content-Type", page.contentType);
  out.line("Cache-Control", "no-store");
  if (status === 503) out.line("Retry-After", String(RETRY_AFTER_S));
  if (page.failover !== undefined) out.line("Failover", page.failover);
  if (page.requestId !== undefined) out.line("X-Request-Id", page.requestId);
  if (page.hsts !== undefined) out.line("Strict-Transport-Security", page.hsts);
  await client.send(page.bytes);
}

/**
 * Passes on an interim response (RFC 9110 section 15.2). `100 Continue` goes only to clients that asked for it.
 */
export async function write1xx(
  client: Client,
  head: ResponseHead,
  server: ServerUpstream,
): Promise<void> {
  if (head.status === 100 && !client.head.expectsContinue) return;
  await client.write1xx(
    head.status,
    head.reason,
    (out) => writeResponseFields(out, head, server, server.rules.via),
  );
}
