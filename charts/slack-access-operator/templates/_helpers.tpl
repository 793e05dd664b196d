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

{{- /* What the workers' pods are selected by: set in src/controller/resources/mod.rs. */}}
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
    {{- range .Values.networkPolicy.dnsPorts }}
    - {protocol: UDP, port: {{ . }}}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
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

{{- /* Egress to the API server, shared by both network policies: a `to` of its own, so that a rule for something else restricts. */}}
{{- define "slack-access-operator.apiServerEgress" -}}
{{- $api := .Values.networkPolicy.apiServer }}
- ports:
    {{- range $api.ports }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
  to:
    {{- if $api.to }}
    {{- toYaml $api.to | nindent 4 }}
    {{- else }}
    {{- range include "slack-access-operator.apiServerBlocks" . | fromJsonArray }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
    {{- end }}
{{- end }}

{{- /*
  Blocks of the API server's addresses, as JSON. A policy sees a connection to a Service before or after translation, depending on the
  network plugin: both the Service's addresses and those of its endpoints are let through. Where Helm cannot ask the cluster, every
  private address is: of IPv4 (RFC 1918), of carriers and clouds (RFC 6598), of IPv6 (RFC 4193).
*/}}
{{- define "slack-access-operator.apiServerBlocks" -}}
{{- $blocks := list }}
{{- range (lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "").items }}
{{- if eq (dig "labels" "kubernetes.io/service-name" "" .metadata) "kubernetes" }}
{{- range .endpoints }}
{{- range .addresses }}
{{- $blocks = append $blocks (ternary (printf "%s/128" .) (printf "%s/32" .) (contains ":" .)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if $blocks }}
{{- range dig "spec" "clusterIPs" list (lookup "v1" "Service" "default" "kubernetes") }}
{{- $blocks = append $blocks (ternary (printf "%s/128" .) (printf "%s/32" .) (contains ":" .)) }}
{{- end }}
{{- end }}
{{- default (list "10.0.0.0/8" "172.16.0.0/12" "192.168.0.0/16" "100.64.0.0/10" "fc00::/7") ($blocks | uniq) | toJson }}
{{- end }}

{{- /* The image of the workers. */}}
{{- define "slack-access-operator.workerImage" -}}
{{- default (include "slack-access-operator.image" .) .Values.workerImage }}
{{- end }}

{{- /* What authors of SlackAccessPlugin objects may do: the file that the operator reads (src/controller/policy), and what the admission policy is made from. */}}
{{- define "slack-access-operator.policy" -}}
{{- $policy := .Values.policy }}
{{- $all := eq $policy.profile "singleTeam" }}
{{- $any := list "*" }}
{{- $allow := dict }}
{{- range list "labels" "annotations" "serviceAccountAnnotations" "priorityClassName" "tolerations" "imagePullSecrets" }}
{{- $_ := set $allow . (or $all (get $policy.allow . | default false)) }}
{{- end }}
{{- /* A list that was taken away allows nothing. */}}
{{- dict
  "slack" (dict
    "apiHosts" (ternary $any (default list $policy.slack.apiHosts) $all)
    "plainHttpHosts" (ternary $any (default list $policy.slack.plainHttpHosts) $all)
    "caBundles" (ternary $any (default list $policy.slack.caBundles) $all))
  "teleport" (dict
    "addresses" (ternary $any (default list $policy.teleport.addresses) $all)
    "joinAddresses" (ternary $any (default list $policy.teleport.joinAddresses) $all)
    "caBundles" (ternary $any (default list $policy.teleport.caBundles) $all))
  "images" (ternary $any (default list $policy.images) $all)
  "secrets" (ternary $any (default list $policy.secrets) $all)
  "allow" $allow
  | toYaml }}
{{- end }}

{{- /* CEL: whether a text matches one of the patterns. Takes a list: the expression of the text, and the patterns. */}}
{{- define "slack-access-operator.celMatches" -}}
{{- $text := index . 0 }}
{{- $alternatives := list }}
{{- range index . 1 }}
{{- $alternatives = append $alternatives (regexQuoteMeta . | replace "\\*" ".*") }}
{{- end }}
{{- if $alternatives }}
{{- printf "%s.matches(r'^(%s)$')" $text (join "|" $alternatives) }}
{{- else }}
{{- "false" }}
{{- end }}
{{- end }}

{{- /* "true" where the cluster serves admission policies: stable since Kubernetes 1.30. */}}
{{- define "slack-access-operator.hasAdmissionPolicies" -}}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version -}}
true
{{- end }}
{{- end }}

{{- /* The scope of an admission policy's binding: the namespaces that the operator watches. */}}
{{- define "slack-access-operator.watchedResources" -}}
{{- with .Values.watchNamespaces }}
matchResources:
  namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values:
          {{- toYaml (uniq .) | nindent 10 }}
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
