/**
 * The host names that a listener accepts. A web page can make a name of its own domain resolve to our address (DNS
 * rebinding); the browser then treats us as the server of that page and lets it read our answers. That is not
 * possible with an IP address instead of a name, nor with a name of another domain.
 */

/** An address as it stands in `Host`: with brackets around IPv6 (RFC 9110 section 7.2). */
const ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|\[[\da-f:.]+(%\w+)?\])$/;

/**
 * Whether a request with this `Host` is meant for us: by an address, by `localhost`, or by one of these names,
 * whatever the port.
 */
export function isOurName(host: string | undefined, names: readonly string[]): boolean {
  const name = (host ?? "").replace(/:\d*$/, "").replace(/\.$/, "").toLowerCase();
  if (ADDRESS.test(name)) return true;
  return /^([^@/]+\.)?localhost$/.test(name) || names.some((own) => own.toLowerCase() === name);
}
