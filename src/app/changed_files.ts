/** Which options name files whose contents have changed. Part of the composition root. */
import type { Key } from "../config/options.ts";
import type { HttpsSettings } from "../gateway/listen.ts";

/** Of the options about HTTPS toward clients. */
export function changedHttps(
  before: HttpsSettings | undefined,
  after: HttpsSettings | undefined,
): Key[] {
  const textsOf = (part: "cert" | "key", https: HttpsSettings | undefined) =>
    JSON.stringify(https?.certificates.map((each) => each[part]));
  const changed: Key[] = [];
  if (textsOf("cert", before) !== textsOf("cert", after)) changed.push("tlsCert");
  if (textsOf("key", before) !== textsOf("key", after)) changed.push("tlsKey");
  if (before?.clientCa !== after?.clientCa) changed.push("clientCa");
  return changed;
}
