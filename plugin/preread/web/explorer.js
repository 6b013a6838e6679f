// Goes into Orthanc Explorer: a button to the review page, on the pages of studies and series.
["study", "series"].forEach(function (level) {
  $("#" + level).live("pagebeforecreate", function () {
    var button = $("<a>")
      .attr("id", "preread-review-" + level)
      .attr("data-role", "button")
      .attr("href", "#")
      .attr("data-icon", "search")
      .attr("data-theme", "e")
      .text("Preread review");
    button.insertBefore($("#" + level + "-delete").parent().parent());
    button.click(function () {
      var open = function (study) {
        window.open("../preread/ui?study=" + encodeURIComponent(study));
      };
      if (!$.mobile.pageData) return;
      if (level === "study") open($.mobile.pageData.uuid);
      else
        $.getJSON("../series/" + $.mobile.pageData.uuid, function (series) {
          open(series.ParentStudy);
        });
    });
  });
});
