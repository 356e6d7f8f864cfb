// Status page: which targets Prometheus reaches, asked every two seconds.
'use strict';

const summary = document.getElementById('summary');
const body = document.getElementById('targets');

function cell(text, className) {
  const td = document.createElement('td');
  td.textContent = text;
  if (className) td.className = className;
  return td;
}

function row({ metric, value }) {
  const tr = document.createElement('tr');
  const isUp = value[1] === '1';
  tr.append(
    cell(isUp ? '● up' : '○ down', isUp ? 'up' : 'down'),
    cell(metric.instance ?? ''),
    cell(metric.job ?? ''),
    cell(metric.tenant ?? '–'),
  );
  return tr;
}

function order(a, b) {
  const key = ({ metric }) => `${metric.tenant ?? '~'} ${metric.job} ${metric.instance}`;
  return Number(a.value[1]) - Number(b.value[1]) || key(a).localeCompare(key(b));
}

function say(text, className) {
  if (summary.textContent !== text) summary.textContent = text;
  summary.className = className;
}

async function refresh() {
  try {
    const reply = await fetch('status.json', { cache: 'no-store' });
    if (!reply.ok) throw new Error(`Prometheus answered ${reply.status}`);
    const targets = (await reply.json()).data.result.sort(order);
    const down = targets.filter((target) => target.value[1] !== '1').length;
    body.replaceChildren(...targets.map(row));
    if (targets.length === 0) say('No targets yet: the first scrapes take a few seconds.', '');
    else if (down === 0) say(`All ${targets.length} targets are up.`, 'good');
    else say(`${down} of ${targets.length} targets are down.`, 'bad');
  } catch (error) {
    say(`The state is unknown: ${error.message}. Try: observa doctor`, 'bad');
  }
  setTimeout(refresh, 2000);
}

refresh();
