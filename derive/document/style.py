"""The sheet of styles of an HTML document: a phone, a screen, paper; by day and by night."""

STYLE = """\
.derive {
  --ink: #1d1f23; --soft: #5d6470; --paper: #fdfdfb; --panel: #f2f2ee; --line: #d9d9d2;
  --link: #0b57a4; --mark: #fff3c4; --holds: #1b6e3a; --fails: #b3261e;
  color: var(--ink); background: var(--paper);
  font: 17px/1.55 Georgia, "Times New Roman", serif;
  max-width: 46rem; margin: 0 auto; padding: 1rem 1.1rem 4rem; box-sizing: border-box;
  overflow-wrap: break-word;
}
body:has(> .derive) { margin: 0; background: #fdfdfb; }
@media (prefers-color-scheme: dark) {
  .derive {
    --ink: #e4e4df; --soft: #a2a8b3; --paper: #17181b; --panel: #222429; --line: #3a3d44;
    --link: #8ab8f0; --mark: #4a4016; --holds: #7fcf9b; --fails: #ff9d94;
  }
  body:has(> .derive) { background: #17181b; }
}
.derive h1 { font-size: 1.75rem; line-height: 1.2; margin: 1.2rem 0 .2rem; }
.derive h2 { font-size: 1.3rem; line-height: 1.25; margin: 2.6rem 0 .6rem;
             border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
.derive h3 { font-size: 1.06rem; margin: 1.9rem 0 .4rem; }
.derive .subtitle { color: var(--soft); margin: 0; font-size: 1.05rem; }
.derive p, .derive ul { margin: .6rem 0; }
.derive ul { padding-left: 1.3rem; }
.derive li { margin: .25rem 0; }
.derive a { color: var(--link); text-decoration: none; }
.derive a:hover, .derive a:focus { text-decoration: underline; }
.derive nav { margin: 1.4rem 0; padding: .5rem 0; border-block: 1px solid var(--line);
    font-size: .95rem; }
.derive nav ol { margin: 0; padding-left: 1.5rem; columns: 2 15rem; }
.derive math { font-size: 1.08em; }
.derive .close { white-space: nowrap; }
.derive .eq { display: grid; grid-template-columns: minmax(0, 1fr) 3.2rem; column-gap: .4rem;
              margin: .3rem -.45rem; padding: .25rem .45rem; border-radius: .3rem;
             scroll-margin-top: 2rem; }
.derive .eq:target { background: var(--mark); }
.derive .eq .no { grid-column: 2; grid-row: 1; text-align: right; padding-top: .45rem;
                  font-variant-numeric: tabular-nums; }
.derive .eq .no a { color: var(--soft); }
.derive .eq .sides { grid-column: 1; grid-row: 1; overflow-x: auto; overflow-y: hidden;
                     padding: .35rem 0 .35rem 1.6rem; text-indent: -1.6rem; line-height: 2; }
.derive .eq .sides math { text-indent: 0; display: inline math; }
.derive .eq .range { display: inline-block; text-indent: 0; white-space: nowrap; color: var(--soft);
                     margin-left: 1.1em; font-size: .9em; }
.derive .eq .rule { grid-column: 1; font-size: .84rem; line-height: 1.4; color: var(--soft);
                    padding-left: 1.6rem; }
.derive .eq.plain { margin-block: 0; padding-block: 0; }
.derive .table, .derive .box { overflow-x: auto; }
.derive table { border-collapse: collapse; margin: .8rem 0; font-size: .9rem; line-height: 1.4; }
.derive caption { text-align: left; color: var(--soft); padding-bottom: .3rem; }
.derive th, .derive td { text-align: left; vertical-align: top; padding: .28rem .9rem .28rem 0;
                         border-bottom: 1px solid var(--line); }
.derive th { font-weight: 600; border-bottom-color: var(--soft); vertical-align: bottom; }
.derive .num { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.derive figure { margin: 1rem 0; }
.derive figure svg { --derive-ink: var(--ink); --derive-paper: var(--paper); }
.derive figure.code .box { background: var(--panel); border-radius: .35rem; padding: .1rem .8rem; }
.derive pre { font: .78rem/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
    margin: .6rem 0; }
.derive code { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
    font-size: .88em; }
.derive pre code { font-size: inherit; }
.derive figcaption { color: var(--soft); font-size: .9rem; margin: .3rem 0; }
.derive figure.picture svg { max-width: 100%; height: auto; }
@media (max-width: 30rem) {
  .derive { font-size: 16px; padding-inline: .8rem; }
  .derive .eq { grid-template-columns: minmax(0, 1fr) 2.3rem; }
  .derive .eq .sides, .derive .eq .rule { padding-left: .9rem; }
  .derive .eq .sides { text-indent: -.9rem; }
  .derive nav ol { columns: 1; }
}
@media print {
  .derive { --ink: #000; --soft: #444; --paper: #fff; --panel: #f4f4f4; --line: #bbb; --link: #000;
            font-size: 10.5pt; max-width: none; padding: 0; }
  body:has(> .derive) { background: #fff; }
  .derive nav { display: none; }
  .derive h2, .derive h3, .derive figcaption, .derive caption { break-after: avoid; }
  .derive .eq, .derive tr { break-inside: avoid; }
  .derive .eq .sides, .derive .box, .derive .table { overflow: visible; }
  .derive pre { white-space: pre-wrap; }
  .derive .eq:target { background: none; }
}
"""
