import { find } from '../dom.js';

/** Makes the tabs of the page work as ARIA describes them: click, arrow keys, Home and End. */
export function tabList(list: HTMLElement, onShow: (panel: HTMLElement) => void): void {
  const tabs = Array.from(list.querySelectorAll<HTMLButtonElement>('[role=tab]'));
  const show = (tab: HTMLButtonElement) => {
    for (const t of tabs) {
      const isShown = t === tab;
      t.setAttribute('aria-selected', String(isShown));
      t.tabIndex = isShown ? 0 : -1;
      const panel = find<HTMLElement>(document, `#${t.getAttribute('aria-controls')}`);
      panel.hidden = !isShown;
      if (isShown) onShow(panel);
    }
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener('click', () => show(tab));
    tab.addEventListener('keydown', (e) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[e.key];
      if (to === undefined) return;
      e.preventDefault();
      const next = tabs[to % tabs.length]!;
      next.focus();
      show(next);
    });
  });
}
