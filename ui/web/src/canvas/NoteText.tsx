/**
 * Markdown as a note shows it. HTML in it is text, addresses that would run something lead nowhere, and pictures are links
 * rather than fetched: a workflow may come from anybody.
 */
import Markdown from "markdown-to-jsx/react";
import type { ReactNode } from "react";

const Link = ({ href, children }: { href?: string; children?: ReactNode }) => (
  <a className="nodrag" href={href} target="_blank" rel="noreferrer noopener">
    {children}
  </a>
);
const Picture = ({ alt, src }: { alt?: string; src?: string }) => <Link href={src ?? ""}>{alt || src}</Link>;

const OPTIONS = {
  disableParsingRawHTML: true,
  forceBlock: true,
  overrides: { a: Link, img: Picture },
};

export default function NoteText({ text }: { text: string }) {
  return <Markdown options={OPTIONS}>{text}</Markdown>;
}
