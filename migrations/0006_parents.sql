-- What belongs to what: a snapshot to its droplet or volume, a node pool to its cluster (attrs.parent, kind and id).
-- Children follow their parent's project and tenant, whichever of the two is seen first.
CREATE INDEX cloud_resources_parent ON cloud_resources ((attrs->'parent'->>'kind'), (attrs->'parent'->>'id'))
    WHERE attrs->'parent'->>'id' IS NOT NULL;
