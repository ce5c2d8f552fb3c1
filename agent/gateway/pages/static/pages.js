// What a page does beside htmx: it says whether it is live, copies, and minds the keyboard. A page works without it.
(() => {
  "use strict";
  let atEnd = false;
  const on = (name, act) => document.addEventListener(name, act);
  const written = () => [...document.querySelectorAll("textarea, input[type=text]")].some((field) => field.value !== field.defaultValue);
  const keys = matchMedia("(any-pointer: fine)").matches;  // where there is none, Enter is the only way to a new line
  const state = (word, text) => {
    const told = document.getElementById("link-state");
    if (told && told.dataset.state !== word) { told.dataset.state = word; told.textContent = text; }
  };
  on("htmx:sse:after:connection", () => state("live", "live"));
  on("htmx:sse:error", (event) => {
    state("lost", "connection lost, trying again");
    if (event.detail.status !== 401) return;  // the session is over: the page leads to signing in, unless something was written in it
    if (written()) state("out", "signed out; what you wrote is still here"); else location.reload();
  });
  on("htmx:sse:before:message", (event) => {
    atEnd = innerHeight + scrollY > document.body.scrollHeight - 80;
    const field = document.querySelector("input[type=search][hx-get]");
    if (!field || field.value === field.defaultValue) return;
    event.detail.cancelled = true;  // the page is live for the words that it was opened with: what is new is asked for with those of now
    state("live", "live");
    htmx.trigger(field, "again");
  });
  // What was searched for stands in the address: a reload, and coming back, show it again.
  on("htmx:after:request", (event) => {
    const field = event.detail.ctx && event.detail.ctx.sourceElement;
    if (!field || !field.matches("input[type=search]")) return;
    const here = new URL(location.href);
    here.search = field.value ? new URLSearchParams({[field.name]: field.value}) : "";
    history.replaceState(history.state, "", here);
  });
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

  // A form is sent once, however often somebody clicks while the answer is on its way; and not while nobody is there to take it: what a browser
  // shows then in place of the page has lost what was typed. Whoever sends it once more all the same may: we may be wrong about the line.
  let sent = new WeakSet(), kept = new WeakSet();
  const tell = (form, words, tone) => {
    const note = form.querySelector("[data-told]") || form.appendChild(document.createElement("p"));
    note.dataset.told = ""; note.className = tone; note.setAttribute("role", "status"); note.textContent = words;
  };
  on("submit", (event) => {
    const form = event.target, line = document.getElementById("link-state");
    if (form.method !== "post" || form.hasAttribute("hx-post")) return;
    if (sent.has(form)) { event.preventDefault(); return; }
    const why = !navigator.onLine ? "You are offline." : line && line.dataset.state === "lost" ? "The server does not answer." : "";
    if (why && !kept.has(form)) {
      event.preventDefault();
      kept.add(form);
      tell(form, `${why} Nothing was sent, and what you wrote is still here: send it again when this page says live.`, "note bad");
      return;
    }
    sent.add(form);
    tell(form, "Sending …", "soft");
    setTimeout(() => {
      sent.delete(form);
      tell(form, "No answer came yet. It may have been taken: open the page in another tab and look, before you send it again.", "note odd");
    }, 30000);
  });
  addEventListener("pageshow", () => { sent = new WeakSet(); kept = new WeakSet(); });

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
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && keys && event.target.matches("[data-send]")) {
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
  for (const field of document.querySelectorAll("[data-send]")) {
    const told = document.getElementById(field.getAttribute("aria-describedby"));
    if (keys) told.textContent = told.dataset.words; else told.dataset.words = "";
  }
  for (const log of document.querySelectorAll("[data-tail]")) log.scrollTop = log.scrollHeight;
  const here = document.querySelector(".nav [aria-current]"), menu = here && here.closest("nav");
  if (menu) menu.scrollLeft = here.offsetLeft - (menu.clientWidth - here.offsetWidth) / 2;  // on a phone the menu is wider than the screen
  if (document.querySelector(".talk") && !location.hash) scrollTo(0, document.body.scrollHeight);
})();
