{{- define "meterfold.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "meterfold.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "meterfold.labels" -}}
{{ include "meterfold.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* In the order of ROLES in src/topology.ts. */}}
{{- define "meterfold.roles" -}}
["ingest","worker","publisher","relay","scheduler","api"]
{{- end -}}

{{- define "meterfold.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "meterfold.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "meterfold.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "meterfold.secret" -}}
{{- .Values.secrets.existingSecret | default (include "meterfold.fullname" .) -}}
{{- end -}}

{{/* The settings that lie in the Secret, as JSON. */}}
{{- define "meterfold.secretKeys" -}}
{{- if .Values.secrets.existingSecret -}}
{{- .Values.secrets.existingKeys | sortAlpha | toJson -}}
{{- else -}}
{{- keys .Values.secrets.values | sortAlpha | toJson -}}
{{- end -}}
{{- end -}}

{{/* Longer than a drain: a pod that is killed in the middle of one loses nothing, and costs the next one a replay. */}}
{{- define "meterfold.grace" -}}
{{- $drainMs := .Values.settings.drainMs | default 10000 | int64 -}}
{{- add (div (add $drainMs 999) 1000) (int64 .Values.preStopSeconds) (int64 .Values.terminationSlackSeconds) -}}
{{- end -}}

{{- define "meterfold.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.runAsUser }}
runAsGroup: {{ .Values.runAsUser }}
fsGroup: {{ .Values.runAsUser }}
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "meterfold.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Environment of a role: { root, role }. Settings are in the file, secrets in files of their own. */}}
{{- define "meterfold.env" -}}
- { name: METERFOLD_CONFIG_FILE, value: /etc/meterfold/settings/meterfold.yaml }
{{- /* A pod is reached by its own address; who may reach it is up to the network policy. */}}
- { name: METERFOLD_HOST, value: "0.0.0.0" }
- { name: METERFOLD_PORT, value: "8080" }
- { name: METERFOLD_INSECURE, value: "true" }
{{- if and (eq .role "scheduler") .root.Values.metersFile }}
- { name: METERFOLD_METERS_FILE, value: /etc/meterfold/settings/meters.yaml }
{{- end }}
{{- range include "meterfold.secretKeys" .root | fromJsonArray }}
- { name: METERFOLD_{{ snakecase . | upper }}_FILE, value: /etc/meterfold/secrets/{{ . }} }
{{- end }}
{{- with .root.Values.aws.credentialsSecret }}
{{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" }}
- name: {{ . }}
  valueFrom: { secretKeyRef: { name: {{ $.root.Values.aws.credentialsSecret }}, key: {{ . }} } }
{{- end }}
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "meterfold.mounts" -}}
- { name: settings, mountPath: /etc/meterfold/settings, readOnly: true }
- { name: secrets, mountPath: /etc/meterfold/secrets, readOnly: true }
- { name: tmp, mountPath: /tmp }
{{- end -}}

{{- define "meterfold.volumes" -}}
- name: settings
  configMap: { name: {{ include "meterfold.fullname" . }} }
- name: secrets
  secret:
    secretName: {{ include "meterfold.secret" . }}
    defaultMode: 0440
    items:
      {{- range include "meterfold.secretKeys" . | fromJsonArray }}
      - { key: {{ . }}, path: {{ . }} }
      {{- end }}
- name: tmp
  emptyDir: { sizeLimit: 256Mi }
{{- end -}}
