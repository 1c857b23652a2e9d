/** The main thread's answers to the questions of the shards of an HTTP service. Part of the composition root. */
import { Fault } from "../base/fault.ts";
import { resolver } from "../net/resolve.ts";
import type { AccessLogFile } from "../report/access_log_file.ts";
import type { ShardReport } from "../threads/messages.ts";
import type { ShardedService } from "../threads/sharded_service.ts";
import type {
  FromHttpShard,
  HttpShardAnswer,
  HttpShardQuestion,
  ToHttpShard,
} from "./http_messages.ts";
import type { PassedConnection } from "./http_parcel.ts";

/** Answers requests as the admin endpoints do. */
export interface Endpoints {
  fetch(request: Request): Response | Promise<Response>;
}

/** What the main thread needs to answer the questions of shards. */
export interface Answering {
  readonly endpoints: Endpoints;
  /** The access log at this path; undefined where nothing is logged. */
  readonly accessLogAt: (path: string) => AccessLogFile | undefined;
  /** Offers a connection to another process. */
  readonly pass: (connection: PassedConnection) => Promise<boolean> | undefined;
}

/** Answers what the shard in one thread has asked. Never rejects. */
export async function answerShard(
  service: Pick<ShardedService, "orderOne">,
  thread: number,
  { what }: ShardReport & { readonly is: "message" },
  by: Answering,
): Promise<void> {
  const { id, question } = what as FromHttpShard;
  const answer = await answerTo(question, by);
  service.orderOne(thread, {
    do: "message",
    what: { is: "answer", id, answer } satisfies ToHttpShard,
  });
}

async function answerTo(
  question: HttpShardQuestion,
  { endpoints, accessLogAt, pass }: Answering,
): Promise<HttpShardAnswer> {
  if (question.about === "passing") {
    return { about: "passing", isTaken: await pass(question) ?? false };
  }
  if (question.about === "name") {
    const found = await resolver.resolve(question.host);
    return { about: "name", ips: found instanceof Fault ? [] : found };
  }
  if (question.about === "lines") {
    const written = await accessLogAt(question.path)?.write(question.lines);
    return { about: "lines", ...written ?? { lost: 0, reason: "" } };
  }
  const { method, url, headers } = question;
  const request = new Request(url, { method, headers: headers.map(([...pair]) => pair) });
  const response = await endpoints.fetch(request);
  return {
    about: "request",
    status: response.status,
    headers: [...response.headers],
    body: response.body === null ? null : await response.bytes(),
  };
}
