/** The element of a selector inside a panel. @throws Error when the page's own markup lacks it. */
export function find<E extends Element>(root: ParentNode, selector: string): E {
  const found = root.querySelector<E>(selector);
  if (!found) throw new Error(`[playground] there is no ${selector} in this panel`);
  return found;
}

/** Shows what went wrong, in words, where the result would stand. */
export function showProblem(place: Element, e: unknown): void {
  const p = document.createElement('p');
  p.className = 'problem';
  p.setAttribute('role', 'alert');
  p.textContent = e instanceof Error ? e.message : String(e);
  place.replaceChildren(p);
}

/** A button that starts something and stops it while it runs. */
export function toggleButton(button: HTMLButtonElement, names: { start: string; stop: string }, run: (signal: AbortSignal) => Promise<void>): void {
  let controller: AbortController | undefined;
  button.textContent = names.start;
  button.addEventListener('click', () => {
    if (controller) return controller.abort();
    controller = new AbortController();
    button.textContent = names.stop;
    void run(controller.signal).finally(() => {
      controller = undefined;
      button.textContent = names.start;
    });
  });
}
