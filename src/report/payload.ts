/**
 * Formats a notice as JSON for Slack, for Discord or for the operator's own program. Parts of the text come
 * from check programs and servers, so they must not be able to mention people or forge a link. Pure.
 */
import { type Notice, noticeSentence } from "./notices.ts";

/** The receiver for which a notice is formatted; `json` has every field, for programs. */
export type PayloadFormat = "slack" | "discord" | "json";

/** The format for the receiver at this URL, by its host name. */
export function formatFor({ hostname }: URL): PayloadFormat {
  if (hostname === "hooks.slack.com") return "slack";
  return /^(.+\.)?discord(app)?\.com$/.test(hostname) ? "discord" : "json";
}

/** Longest message that Discord accepts, in characters. */
const DISCORD_MAX = 2_000;
const SLACK_MAX = 4_000;

/** The JSON body of a notice. Text for Slack and Discord is cut to the length that they accept. */
export function payloadOf(
  format: PayloadFormat,
  notice: Notice,
): Readonly<Record<string, unknown>> {
  switch (format) {
    case "slack":
      return { text: slackText(noticeSentence(notice).slice(0, SLACK_MAX)) };
    case "discord":
      return {
        content: noticeSentence(notice).slice(0, DISCORD_MAX),
        allowed_mentions: { parse: [] },
      };
    case "json":
      return jsonOf(notice);
  }
}

/** Escapes the three characters that are special in Slack: `<!channel>` would notify everybody. */
function slackText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/**
 * The documented JSON. New keys may be added; `schema` changes if a key is removed or renamed. Times are ISO
 * 8601. `from` is null if nothing was active before, `to` is null in an outage. `clients` holds `released`,
 * `retried`, `lost` and `cut`, as far as the data plane counts them, since the incident began.
 * `record` is the id of the incident record that `failover history` shows.
 */
function jsonOf(notice: Notice): Readonly<Record<string, unknown>> {
  const { id, kind, service, time, from, to, reason, interruptedMs, incident, record, clients } =
    notice;
  return {
    schema: 2,
    id,
    kind,
    service,
    time: new Date(time).toISOString(),
    message: noticeSentence(notice),
    from: from ?? null,
    to: to ?? null,
    reason,
    interrupted_ms: Math.round(interruptedMs),
    incident: {
      started: new Date(incident.startedAt).toISOString(),
      reason: incident.reason,
      lasted_ms: Math.round(incident.lastedMs),
      finished: incident.finished,
    },
    record: record ?? null,
    clients,
  };
}
