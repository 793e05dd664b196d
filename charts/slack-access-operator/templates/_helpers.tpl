{{- define "slack-access-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "slack-access-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- $full = default $full .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- /* A release's name may be one that a Service's may not. */}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" $full) }}
{{- fail (printf "%s cannot be the name of a Service, which begins with a letter and has letters, digits and - only: set fullnameOverride, or name the release so" $full) }}
{{- end }}
{{- $full }}
{{- end }}

{{- /* What the controller's pods are selected by. Not for the test pod: it must not answer for the Service. */}}
{{- define "slack-access-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "slack-access-operator.name" . | toYaml }}
app.kubernetes.io/instance: {{ toYaml .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{- /* The pod of `helm test`. */}}
{{- define "slack-access-operator.testLabels" -}}
app.kubernetes.io/name: {{ include "slack-access-operator.name" . | toYaml }}
app.kubernetes.io/instance: {{ toYaml .Release.Name }}
app.kubernetes.io/component: test
{{- end }}

{{- /* What the workers' pods are selected by: set in src/controller/build/mod.rs. */}}
{{- define "slack-access-operator.workerLabels" -}}
app.kubernetes.io/name: slack-access-worker
app.kubernetes.io/managed-by: slack-access-operator
{{- end }}

{{- define "slack-access-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "slack-access-operator.name" . | toYaml }}
app.kubernetes.io/instance: {{ toYaml .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "slack-access-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "slack-access-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "slack-access-operator.image" -}}
{{- $repository := .Values.image.repository }}
{{- with .Values.image.registry }}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}
{{- end }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- $tag := .Values.image.tag }}
{{- /* A number of a values file, which the template language would write as 1e+06. */}}
{{- if kindIs "float64" $tag }}
{{- $tag = printf "%.0f" $tag }}
{{- end }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $tag | toString) }}
{{- end }}
{{- end }}

{{- /* "true" when a monitoring object is wanted. Takes a list: the root context and the value of `enabled`. */}}
{{- define "slack-access-operator.monitoringEnabled" -}}
{{- $root := index . 0 }}
{{- $enabled := index . 1 }}
{{- if or (eq (toString $enabled) "true") (and (eq (toString $enabled) "auto") ($root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
true
{{- end }}
{{- end }}

{{- /* Egress to DNS, shared by both network policies. */}}
{{- define "slack-access-operator.dnsEgress" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
  {{- with .Values.networkPolicy.dnsTo }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- /* Who may read the diagnostics port, shared by both network policies. */}}
{{- define "slack-access-operator.metricsIngress" -}}
- ports:
    - {protocol: TCP, port: diag}
  {{- with .Values.networkPolicy.metricsFrom }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- /* Egress to the API server, shared by both network policies. Its addresses are known to the cluster alone. */}}
{{- define "slack-access-operator.apiServerEgress" -}}
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- end }}

{{- /* How /metrics is scraped, by either monitor. */}}
{{- define "slack-access-operator.scrape" -}}
port: diag
path: /metrics
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with .scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with .relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* What a scrape has to show. Takes a list: the root context, and whether the target speaks TLS. */}}
{{- define "slack-access-operator.scrapeAccess" -}}
{{- $root := index . 0 }}
{{- with $root.Values.metrics }}
{{- with .scrapeTokenSecret }}
authorization:
  type: Bearer
  credentials:
    name: {{ toYaml . }}
    key: token
{{- end }}
{{- if and (index $ 1) .tlsSecret }}
scheme: https
tlsConfig:
  serverName: {{ include "slack-access-operator.fullname" $root }}.{{ $root.Release.Namespace }}.svc
  ca:
    secret:
      name: {{ toYaml .tlsSecret }}
      key: ca.crt
{{- end }}
{{- end }}
{{- end }}

{{- /* Labels of an alert. Takes a list: its severity and the labels of every alert. */}}
{{- define "slack-access-operator.alertLabels" -}}
severity: {{ index . 0 }}
{{- with index . 1 }}
{{ toYaml . }}
{{- end }}
{{- end }}
