-- Health of a SlackAccessPlugin for Argo CD; docs/argo-cd.md says where to put it.
local health = { status = "Progressing", message = "waiting for the operator" }
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  health.message = "waiting for the operator to see this generation"
  return health
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local ready = conditions["Ready"]
local stalled = conditions["Stalled"]
if obj.spec ~= nil and obj.spec.suspend == true then
  health.status = "Suspended"
  health.message = ready and ready.message or "suspended"
elseif ready ~= nil and ready.status == "True" then
  health.status = "Healthy"
  health.message = ready.message
elseif stalled ~= nil and stalled.status == "True" then
  health.status = "Degraded"
  health.message = stalled.message
elseif ready ~= nil then
  local reconciling = conditions["Reconciling"]
  -- Not ready and nothing under way: somebody has to look.
  if ready.status == "False" and (reconciling == nil or reconciling.status ~= "True") then
    health.status = "Degraded"
  end
  health.message = ready.message
end
return health
