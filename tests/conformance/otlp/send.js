// Sends spans and log records with OpenTelemetry's own exporters, in both encodings, and prints the
// trace ids. Usage: node send.js http://127.0.0.1:PORT
'use strict';
const { trace, context, SpanKind, SpanStatusCode } = require('@opentelemetry/api');
const { BasicTracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { LoggerProvider, SimpleLogRecordProcessor } = require('@opentelemetry/sdk-logs');
const { Resource } = require('@opentelemetry/resources');

const endpoint = process.argv[2];
const encodings = {
  json: [require('@opentelemetry/exporter-trace-otlp-http').OTLPTraceExporter,
    require('@opentelemetry/exporter-logs-otlp-http').OTLPLogExporter],
  protobuf: [require('@opentelemetry/exporter-trace-otlp-proto').OTLPTraceExporter,
    require('@opentelemetry/exporter-logs-otlp-proto').OTLPLogExporter],
};

async function send(encoding, compression) {
  const [TraceExporter, LogExporter] = encodings[encoding];
  const resource = new Resource({ 'service.name': `conformance-${encoding}`, 'service.version': '1.2.3' });
  const failures = [];
  const watched = (exporter) => {
    const original = exporter.export.bind(exporter);
    exporter.export = (items, done) => original(items, (result) => {
      if (result.code !== 0) failures.push(String(result.error));
      done(result);
    });
    return exporter;
  };
  const traces = new BasicTracerProvider({
    resource,
    spanProcessors: [new SimpleSpanProcessor(watched(new TraceExporter({ url: `${endpoint}/v1/traces`, compression })))],
  });
  const tracer = traces.getTracer('conformance', '0.1');
  const root = tracer.startSpan('root', { kind: SpanKind.SERVER, attributes: {
    text: 'value é', whole: 42, big: 9007199254740991, half: 0.5, yes: true, list: ['a', 'b'], numbers: [1, 2.5],
  } });
  const child = tracer.startSpan('child', { kind: SpanKind.CLIENT, links: [{ context: root.spanContext() }] },
    trace.setSpan(context.active(), root));
  child.addEvent('happened', { where: 'here' });
  child.recordException(new Error('it broke'));
  child.setStatus({ code: SpanStatusCode.ERROR, message: 'it broke' });
  child.end();
  root.end();

  const logs = new LoggerProvider({ resource });
  logs.addLogRecordProcessor(new SimpleLogRecordProcessor(watched(new LogExporter({ url: `${endpoint}/v1/logs`, compression }))));
  logs.getLogger('conformance').emit({
    severityNumber: 17, severityText: 'ERROR', body: `said in ${encoding}`, attributes: { 'http.route': '/x' },
    context: trace.setSpan(context.active(), root),
  });
  await traces.forceFlush();
  await logs.forceFlush();
  await traces.shutdown();
  await logs.shutdown();
  if (failures.length > 0) throw new Error(failures.join('; '));
  console.log(`${encoding} ${compression} ${root.spanContext().traceId}`);
}

(async () => {
  for (const encoding of Object.keys(encodings))
    for (const compression of ['none', 'gzip'])
      await send(encoding, compression);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
