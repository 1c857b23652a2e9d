/** What forwarding depends on: what the operator has set, and the parts around it. */
import type { Clock } from "../base/clock.ts";
import type { StatusRange } from "../base/status_range.ts";
import type { Publish } from "../events/events.ts";
import type { Doubt } from "../failover/ports.ts";
import type { Upstream } from "../failover/upstream.ts";
import type { Deadlines } from "../net/deadlines.ts";
import type { AccessLog } from "./access_log.ts";
import type { AdmissionGate } from "./admission.ts";
import type { ErrorPage } from "./error_page.ts";
import type { RequestSettings } from "./request_state.ts";
import type { RequestTimer } from "./request_times.ts";
import type { GatewayUpstream } from "./upstream.ts";

/** What the operator has set about forwarding. */
export interface ForwardSettings extends RequestSettings {
  /** The longest that one exchange may wait, all its waits taken together, in milliseconds. */
  readonly holdMs: number;
  /** From a request's last byte to its response's first, in milliseconds; 0 is never. */
  readonly responseTimeoutMs: number;
  /** An exchange in which no byte moves for this long is ended, in milliseconds; 0 is never. */
  readonly idleTimeoutMs: number;
  /** Whether responses carry a `Failover` header that names the upstream and the reason. */
  readonly failoverHeader: boolean;
  /** Whether each request gets an `X-Request-Id`. */
  readonly requestId: boolean;
  /** Statuses after which a request that may be repeated is sent to another upstream, if there is one. */
  readonly retryOn: readonly StatusRange[];
  /** The page of each 503 that the proxy answers itself. */
  readonly errorPage: ErrorPage;
}

/** What the forwarder depends on. */
export interface ForwardContext {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly publish: Publish;
  readonly gate: AdmissionGate;
  readonly upstreams: ReadonlyMap<string, GatewayUpstream>;
  /** Reports to the controller that an exchange failed. Returns at once. */
  readonly doubt: (doubt: Doubt) => void;
  /**
   * Called while files are read, and again, by what it returned, when that is over. A thread sleeps in the kernel
   * only while nothing of Deno's own is under way.
   */
  readonly outside?: () => () => void;
  /** Gets a line for each exchange, if there is one. */
  readonly accessLog?: AccessLog;
  /** Upstreams that one exchange may use in place of the active one, which may be among them; best first. */
  readonly others: () => readonly Upstream[];
  /** Where to count how long requests took, if that is shared with other threads. */
  readonly timer?: RequestTimer;
}
