-- SPDX-License-Identifier: BSD-3-Clause
-- For wrk: each connection waits so many milliseconds before its request.
local pause

function init(args)
  pause = tonumber(args[1])
end

function delay()
  return pause
end
