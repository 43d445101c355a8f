/** Notes in Markdown: what is drawn of them, and what a hostile one cannot do. */
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, it } from "vitest";
import NoteText from "../src/canvas/NoteText";

const drawn = (text: string) => renderToStaticMarkup(createElement(NoteText, { text }));

describe("notes", () => {
  it("show headings, lists, emphasis, code and links", () => {
    const html = drawn(
      "# Guidance\n\n- *scale* **7.5**\n- `eps`\n\n[paper](https://arxiv.org/abs/2112.10752)",
    );
    for (const part of ["<h1", "<li>", "<em>scale</em>", "<strong>7.5</strong>", "<code>eps</code>"])
      expect(html).toContain(part);
    expect(html).toContain('href="https://arxiv.org/abs/2112.10752"');
    expect(html).toContain('rel="noreferrer noopener"');
  });

  it.each([
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "text <b onclick=alert(1)>bold</b>",
    "<iframe src=https://evil.example></iframe>",
    "<style>*{display:none}</style>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](  JaVaScRiPt:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:x)",
    "![x](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)",
    "<svg/onload=alert(1)>",
    "<div style='position:fixed;inset:0'>over all</div>",
    "[ref]\n\n[ref]: javascript:alert(1)",
    '<https://x.example/"onmouseover=alert(1)>',
    "---\ntitle: x\n---\nafter",
  ])("%s is text or a harmless link", (text) => {
    const html = drawn(text);
    const tags = [...html.matchAll(/<\/?([a-z0-9]+)([^>]*)>/gi)];
    for (const [tag, name = "", attributes = ""] of tags) {
      expect(["script", "img", "iframe", "style", "svg", "b"], tag).not.toContain(name.toLowerCase());
      expect(attributes.replace(/"[^"]*"/g, ""), tag).not.toMatch(/\son\w+|\sstyle/i);
      expect(/(?:href|src)="([^"]*)"/.exec(attributes)?.[1] ?? "", tag).not.toMatch(/script:|^data:/i);
    }
  });
});
