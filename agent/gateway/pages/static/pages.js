// What a page does beside htmx: it says whether it is live, copies, and minds the keyboard. A page works without it.
(() => {
  "use strict";
  let atEnd = false;
  const on = (name, act) => document.addEventListener(name, act);
  const state = (word, text) => {
    const told = document.getElementById("link-state");
    if (told && told.dataset.state !== word) { told.dataset.state = word; told.textContent = text; }
  };
  on("htmx:sse:after:connection", () => state("live", "live"));
  on("htmx:sse:error", (event) => {
    state("lost", "connection lost, trying again");
    if (event.detail.status === 401) location.reload();  // the session is over: the page leads to signing in
  });
  on("htmx:sse:before:message", () => { atEnd = innerHeight + scrollY > document.body.scrollHeight - 80; });
  on("htmx:sse:after:message", (event) => {
    state("live", "live");
    if (atEnd && document.querySelector(".talk")) scrollTo(0, document.body.scrollHeight);  // who reads further up is left there
    for (const log of event.target.querySelectorAll("[data-tail]")) if (log.dataset.held !== "yes") log.scrollTop = log.scrollHeight;
  });
  // htmx connects again where a connection ends, but tries the first one once: where nothing came of it, we have it try anew.
  const tryAnew = (wait) => setTimeout(() => {
    const told = document.getElementById("link-state"), live = document.getElementById("live");
    if (!told || !live || told.dataset.state) return;
    const fresh = live.cloneNode(false);
    fresh.append(...live.childNodes);  // moved, so that what somebody typed stays
    live.replaceWith(fresh);
    htmx.process(fresh);
    tryAnew(Math.min(2 * wait, 60000));
  }, wait);
  on("DOMContentLoaded", () => tryAnew(4000));
  document.addEventListener("scroll", (event) => {
    const log = event.target;
    if (log.dataset && "tail" in log.dataset) log.dataset.held = log.scrollTop + log.clientHeight < log.scrollHeight - 24 ? "yes" : "no";
  }, true);

  on("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const text = button.parentElement.querySelector("pre").textContent;
    navigator.clipboard.writeText(text).then(() => { button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy"; }, 2000); });
  });

  on("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const field = document.querySelector("input[type=search]");
      if (field) { event.preventDefault(); field.focus(); }
    }
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.target.matches("[data-send]")) {
      event.preventDefault();
      event.target.form.requestSubmit();
    }
  });

  // More than a field takes is said where it was pasted, and never sent.
  on("input", (event) => {
    const field = event.target, most = Number(field.dataset && field.dataset.most);
    if (!most) return;
    const told = document.getElementById(field.getAttribute("aria-describedby"));
    const over = field.value.length > most;
    const words = `That has ${field.value.length.toLocaleString("en")} characters; ${most.toLocaleString("en")} is the most. Say it in a page.`;
    field.setCustomValidity(over ? words : "");
    if (told) told.textContent = over ? words : told.dataset.words || "";
  });
  for (const log of document.querySelectorAll("[data-tail]")) log.scrollTop = log.scrollHeight;
  if (document.querySelector(".talk") && !location.hash) scrollTo(0, document.body.scrollHeight);
})();
