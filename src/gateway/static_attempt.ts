/** One attempt of an exchange on files or a page of our own. It resolves with its outcome. */
import { responseOf, sendResponse } from "../http1/fetch_app.ts";
import { DONE, failoverOf, type Outcome } from "./attempt.ts";
import type { FailureLog } from "./failure_log.ts";
import type { RequestState } from "./request_state.ts";
import type { StaticUpstream } from "./upstream.ts";

/** The dependencies of all such attempts of a service. */
export interface StaticContext {
  readonly settings: {
    /** Whether responses carry the `Failover` header. */
    readonly failoverHeader: boolean;
  };
  readonly failures: FailureLog;
  /** As in `ForwardContext`. */
  readonly outside: (() => () => void) | undefined;
}

/** Makes the attempt. Rejects with the Fault of a client to which the response cannot be sent. */
export async function attemptStatic(
  context: StaticContext,
  state: RequestState,
  to: StaticUpstream,
): Promise<Outcome> {
  const leave = context.outside?.();
  try {
    return await serveFile(context, state, to);
  } finally {
    leave?.();
  }
}

async function serveFile(
  { settings, failures }: StaticContext,
  state: RequestState,
  to: StaticUpstream,
): Promise<Outcome> {
  const response = await responseOf(state.client, to.respond);
  const value = failoverOf(settings, state, to);
  if (value !== undefined) response.headers.set("Failover", value);
  if (state.requestId !== undefined) response.headers.set("X-Request-Id", state.requestId);
  if (state.hsts !== undefined) response.headers.set("Strict-Transport-Security", state.hsts);
  try {
    await sendResponse(state.client, response);
    return DONE;
  } catch (error) {
    // One file that changed says nothing about the others, so there is no doubt.
    const fault = failures.faultOf(error);
    failures.cut(state.client, to.upstream.name, fault);
    return { is: "cut", fault };
  }
}
