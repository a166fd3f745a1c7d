"use strict";
(() => {
  const EVERY_MS = 2000;
  const LOST_AFTER = 2;
  const lost = document.getElementById("lost");
  let failed = 0;
  let isOver = false;

  // What the reader has opened, scrolled or chosen stays; only what differs is replaced.
  const same = (one, other) => one.nodeName === other.nodeName && (one.id ?? "") === (other.id ?? "");
  const sync = (old, fresh) => {
    if (old.isEqualNode(fresh)) return;
    if (old.nodeType !== Node.ELEMENT_NODE || old instanceof SVGElement || old.nodeName === "TABLE") {
      old.replaceWith(fresh.cloneNode(true));
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    syncChildren(old, [...fresh.childNodes]);
  };
  const syncChildren = (parent, wanted) => {
    let place = parent.firstChild;
    for (const fresh of wanted) {
      let found = place;
      while (found && !same(found, fresh)) found = found.nextSibling;
      if (!found) {
        parent.insertBefore(fresh.cloneNode(true), place);
        continue;
      }
      while (place !== found) {
        const gone = place;
        place = place.nextSibling;
        gone.remove();
      }
      place = found.nextSibling;
      sync(found, fresh);
    }
    while (place) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
  };

  const show = (fresh) => {
    document.title = fresh.title;
    const told = fresh.getElementById("live");
    isOver = told.hasAttribute("data-over");
    sync(document.querySelector("header .run"), fresh.querySelector("header .run"));
    if (told.hasAttribute("data-rest")) {
      const [old, now] = [document, fresh].map((page) => page.querySelector("main > .top"));
      const wanted = [...now.childNodes].filter((node) => node.nodeName !== "NAV");
      const menu = old.querySelector("nav");
      syncChildren(old, [...wanted, ...(menu ? [menu.cloneNode(true)] : [])]);
      return;
    }
    sync(document.getElementById("live"), told);
    syncChildren(document.querySelector("main"), [...fresh.querySelector("main").childNodes]);
  };

  const look = async () => {
    const { version, client } = document.getElementById("live").dataset;
    try {
      const asked = new URLSearchParams({ version, client });
      const reply = await fetch(`now?${asked}`, { signal: AbortSignal.timeout(10000) });
      if (!reply.ok) throw new Error(reply.statusText);
      show(new DOMParser().parseFromString(await reply.text(), "text/html"));
      failed = 0;
    } catch {
      failed += 1;
    }
    lost.hidden = failed < LOST_AFTER;
  };

  const later = () => setTimeout(async () => {
    if (!document.hidden) await look();
    if (!isOver) later();
  }, EVERY_MS);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !isOver) look();
  });
  addEventListener("pagehide", () => {
    const { client } = document.getElementById("live").dataset;
    fetch(`closed?${new URLSearchParams({ client })}`, { keepalive: true });
  });
  later();
})();
