# The target libcurl_of_any_system, to be linked in place of CURL::libcurl.
#
# Debian's libcurl names its symbols with a version that other distributions' libcurl does not have
# (CURL_OPENSSL_4), though it is the same library under the same name; a program that asks for that
# version does not start there. So the program is linked with a stand-in that has the names only, and
# runs with either.
function(add_libcurl_of_any_system)
  get_target_property(folders CURL::libcurl INTERFACE_INCLUDE_DIRECTORIES)
  foreach(configuration RELEASE NOCONFIG DEBUG NONE)
    if(NOT real)
      get_target_property(real CURL::libcurl IMPORTED_LOCATION_${configuration})
    endif()
  endforeach()
  if(NOT real)
    get_target_property(real CURL::libcurl IMPORTED_LOCATION)
  endif()

  set(folder ${CMAKE_BINARY_DIR}/libcurl_of_any_system)
  execute_process(COMMAND ${CMAKE_NM} --dynamic --defined-only --format=posix ${real}
    OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "curl_[a-z0-9_]+" symbols "${symbols}")
  list(REMOVE_DUPLICATES symbols)
  set(source "")
  foreach(symbol IN LISTS symbols)
    string(APPEND source "void ${symbol}(void) {}\n")
  endforeach()
  file(CONFIGURE OUTPUT ${folder}/names.c CONTENT "${source}")
  add_custom_command(OUTPUT ${folder}/libcurl.so
    COMMAND ${CMAKE_C_COMPILER} -shared -fPIC -Wl,-soname,libcurl.so.4 names.c -o libcurl.so
    DEPENDS ${folder}/names.c WORKING_DIRECTORY ${folder} VERBATIM)
  add_custom_target(libcurl_stand_in DEPENDS ${folder}/libcurl.so)

  add_library(libcurl_of_any_system INTERFACE)
  add_dependencies(libcurl_of_any_system libcurl_stand_in)
  target_include_directories(libcurl_of_any_system SYSTEM INTERFACE ${folders})
  # As flags: the folder is not to become a place where the program looks for libraries.
  target_link_options(libcurl_of_any_system INTERFACE -L${folder})
  target_link_libraries(libcurl_of_any_system INTERFACE -lcurl)
endfunction()
add_libcurl_of_any_system()
